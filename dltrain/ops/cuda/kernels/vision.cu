// Borders around images, larger images, places of winners, regions of interest.

// Where place `at` of a padded axis comes from: -1 for the 0 around the image (mode 0), the edge (1), or turned round at it (2).
INLINE int origin(int at, int before, int size, int mode) {
    int i = at - before;
    if (i >= 0 && i < size) return i;
    if (mode == 0) return -1;
    if (mode == 1) return i < 0 ? 0 : size - 1;
    i = i < 0 ? -i : i;
    return size - 1 - (size - 1 > i ? size - 1 - i : i - (size - 1));
}

KERNEL pad(const real *x, real *y, View of_x, View of_y, View before, int mode, int count) {
    EACH(i, count) {
        int rest = i, from = 0, to = 0;
        bool known = true;
        for (int axis = of_y.rank - 1; axis >= 0; axis--) {
            int at = rest % of_y.size[axis];
            rest /= of_y.size[axis];
            int source = origin(at, before.step[axis], of_x.size[axis], mode);
            known = known && source >= 0;
            from += source * of_x.step[axis];
            to += at * of_y.step[axis];
        }
        y[to] = known ? x[from] : 0.0f;
    }
}

// Element i of x gathers all elements of y that came from it: on each axis a few, found by looking at all of that axis.
template <class T>
INLINE float gather(const T *y, const View &of_x, const View &of_y, const View &before, int mode, const int *at) {
    int rank = of_x.rank, here[8], axis = 0;
    float sum = 0.0f;
    for (int a = 0; a < rank; a++) here[a] = -1;
    while (axis >= 0) {
        here[axis]++;
        while (here[axis] < of_y.size[axis] && origin(here[axis], before.step[axis], of_x.size[axis], mode) != at[axis]) here[axis]++;
        if (here[axis] >= of_y.size[axis])
            here[axis--] = -1;
        else if (axis == rank - 1) {
            int place = 0;
            for (int a = 0; a < rank; a++) place += here[a] * of_y.step[a];
            sum += y[place];
        } else
            axis++;
    }
    return sum;
}

KERNEL pad_dx(real *dx, const real *dy, View of_x, View of_y, View before, int mode, int count) {
    EACH(i, count) {
        int at[8], rest = i, to = 0, from = 0;
        for (int axis = of_x.rank - 1; axis >= 0; axis--) {
            at[axis] = rest % of_x.size[axis];
            rest /= of_x.size[axis];
            to += at[axis] * of_x.step[axis];
            from += (at[axis] + before.step[axis]) * of_y.step[axis];
        }
        dx[to] = mode == 0 ? (float)dy[from] : gather(dy, of_x, of_y, before, mode, at);
    }
}

// The share that place `small` of an axis has in place `large` of one `scale` times as long.
INLINE float portion(int large, int small, int scale, int size, int linear) {
    if (!linear) return large / scale == small ? 1.0f : 0.0f;
    double at = (large + 0.5) / scale - 0.5;
    at = at < 0.0 ? 0.0 : at > size - 1.0 ? size - 1.0 : at;
    int low = (int)at;
    float share = (float)(at - low);
    if (small == low) return share > 0.0f ? 1.0f - share : 1.0f;
    return small == low + 1 ? share : 0.0f;
}

KERNEL upsample(const real *x, real *y, View of_x, View of_y, View scale, int linear, int count) {
    EACH(i, count) {
        int low[8], rest = i, to = 0;
        float part[8];
        for (int axis = of_y.rank - 1; axis >= 0; axis--) {
            int at = rest % of_y.size[axis], s = scale.step[axis];
            rest /= of_y.size[axis];
            to += at * of_y.step[axis];
            low[axis] = linear ? greater(lesser((2 * at + 1 - s) / (2 * s), of_x.size[axis] - 1), 0) : at / s;
            if (linear && 2 * at + 1 < s) low[axis] = 0;
            part[axis] = portion(at, low[axis], s, of_x.size[axis], linear);
        }
        float sum = 0.0f;
        for (int corner = 0; corner < 1 << of_y.rank; corner++) {
            float share = 1.0f;
            int from = 0;
            for (int axis = 0; axis < of_y.rank && share > 0.0f; axis++) {
                int high = corner >> axis & 1;
                share *= high ? 1.0f - part[axis] : part[axis];
                from += (low[axis] + high) * of_x.step[axis];
            }
            if (share > 0.0f) sum += share * x[from];
        }
        y[to] = sum;
    }
}

KERNEL upsample_dx(real *dx, const real *dy, View of_x, View of_y, View scale, int linear, int count) {
    EACH(i, count) {
        int at[8], first[8], last[8], here[8], rest = i, to = 0, rank = of_x.rank;
        for (int axis = rank - 1; axis >= 0; axis--) {
            at[axis] = rest % of_x.size[axis];
            rest /= of_x.size[axis];
            to += at[axis] * of_x.step[axis];
            int s = scale.step[axis], wide = linear && s > 1 ? s : 0;
            first[axis] = greater(at[axis] * s - wide, 0);
            last[axis] = lesser((at[axis] + 1) * s + wide, of_y.size[axis]);
            here[axis] = first[axis];
        }
        float sum = 0.0f;
        for (int axis = 0; axis >= 0;) {
            float share = 1.0f;
            int from = 0;
            for (int a = 0; a < rank; a++) {
                share *= portion(here[a], at[a], scale.step[a], of_x.size[a], linear);
                from += here[a] * of_y.step[a];
            }
            if (share > 0.0f) sum += share * dy[from];
            for (axis = rank - 1; axis >= 0 && ++here[axis] >= last[axis]; axis--) here[axis] = first[axis];
        }
        dx[to] = sum;
    }
}

KERNEL winner_mask(const int *winner, float *mask, int count) {
    EACH(i, count) mask[i] = (float)winner[i];
}

KERNEL mask_winner(const float *mask, int *winner, int size, int count) {
    EACH(i, count) {
        float at = rintf(mask[i]);
        winner[i] = at >= 0.0f && at < (float)size ? (int)at : -1;
    }
}

// y = x[winner] in each plane, 0 where there is none
KERNEL take_winner(const real *x, const int *winner, real *y, View heads, View plane, View of_y, int count) {
    EACH(i, count) {
        int at = place(of_y, i), who = winner[at];
        y[at] = who >= 0 ? x[place(heads, i) + place(plane, who)] : 0.0f;
    }
}

INLINE int nearest(double value) { return value >= 0.0 ? (int)floor(value + 0.5) : -(int)floor(0.5 - value); }

// Bin `i` of `count` from first to last, clipped to the image.
INLINE void bin(double from, double to, int i, int count, int size, int *low, int *high) {
    int start = nearest(from), n = greater(nearest(to) - start + 1, 1);
    *low = greater(lesser(start + i * n / count, size), 0);
    *high = greater(lesser(start + ((i + 1) * n + count - 1) / count, size), 0);
}

KERNEL roi_pool(const real *x, const float *rois, real *y, int *winner, View of_x, View of_y, double scale, int count) {
    EACH(i, count) {
        int column = i % of_y.size[3], row = i / of_y.size[3] % of_y.size[2], c = i / of_y.size[3] / of_y.size[2] % of_y.size[1];
        const float *roi = rois + 5 * (i / of_y.size[3] / of_y.size[2] / of_y.size[1]);
        int n = nearest(roi[0]), top, bottom, left, right, who = -1, at = place(of_y, i);
        bin((double)roi[2] * scale, (double)roi[4] * scale, row, of_y.size[2], of_x.size[2], &top, &bottom);
        bin((double)roi[1] * scale, (double)roi[3] * scale, column, of_y.size[3], of_x.size[3], &left, &right);
        float best = 0.0f;
        if (n >= 0 && n < of_x.size[0])
            for (int h = top; h < bottom; h++)
                for (int w = left; w < right; w++) {
                    float value = x[n * of_x.step[0] + c * of_x.step[1] + h * of_x.step[2] + w * of_x.step[3]];
                    if (who < 0 || value > best) {
                        best = value;
                        who = h * of_x.size[3] + w;
                    }
                }
        y[at] = best;
        winner[at] = who;
    }
}

// Each place of x looks at all bins of all regions of its image, in order, for those that it won.
KERNEL roi_pool_dx(const float *rois, const real *dy, const int *winner, real *dx, View of_y, View of_x, int count) {
    EACH(i, count) {
        int plane = of_x.size[2] * of_x.size[3], where = i % plane, c = i / plane % of_x.size[1], n = i / plane / of_x.size[1];
        float sum = 0.0f;
        for (int r = 0; r < of_y.size[0]; r++) {
            if (nearest(rois[5 * r]) != n) continue;
            for (int h = 0; h < of_y.size[2]; h++)
                for (int w = 0; w < of_y.size[3]; w++) {
                    int at = r * of_y.step[0] + c * of_y.step[1] + h * of_y.step[2] + w * of_y.step[3];
                    if (winner[at] == where) sum += dy[at];
                }
        }
        dx[place(of_x, i)] = sum;
    }
}
