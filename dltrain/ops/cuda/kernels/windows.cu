// Pooling over up to three axes, channels anywhere in memory; geometry g: three numbers each for x, y, kernel, stride and pad.

struct Place {
    int sample, channel, at[3];
};

INLINE Place unfold(const int *size, int channels, int last, int i) {
    Place place;
    if (last) place.channel = i % channels, i /= channels;
    for (int axis = 2; axis >= 0; axis--) place.at[axis] = i % size[axis], i /= size[axis];
    if (!last) place.channel = i % channels, i /= channels;
    place.sample = i;
    return place;
}

INLINE int fold(const int *size, int channels, int last, const Place &place, int flat) {
    int area = size[0] * size[1] * size[2];
    if (last) return (place.sample * area + flat) * channels + place.channel;
    return (place.sample * channels + place.channel) * area + flat;
}

// f(where in memory, flat place in the plane) for each element under the window at a place of y; -1, -1 beyond the image
template <class F> INLINE void window(const int *g, int channels, int last, const Place &place, F f) {
    int start[3];
    for (int axis = 0; axis < 3; axis++) start[axis] = place.at[axis] * g[9 + axis] - g[12 + axis];
    for (int a = start[0]; a < start[0] + g[6]; a++)
        for (int b = start[1]; b < start[1] + g[7]; b++)
            for (int d = start[2]; d < start[2] + g[8]; d++) {
                bool inside = a >= 0 && a < g[0] && b >= 0 && b < g[1] && d >= 0 && d < g[2];
                int flat = (a * g[1] + b) * g[2] + d;
                f(inside ? fold(g, channels, last, place, flat) : -1, inside ? flat : -1);
            }
}

// f(where in memory, the place) for each place of y whose window holds a place of x
template <class F> INLINE void windows(const int *g, int channels, int last, const Place &place, F f) {
    int low[3], high[3];
    for (int axis = 0; axis < 3; axis++) {
        int padded = place.at[axis] + g[12 + axis], past = padded - g[6 + axis];
        low[axis] = past < 0 ? 0 : past / g[9 + axis] + 1;
        high[axis] = lesser(padded / g[9 + axis], g[3 + axis] - 1);
    }
    for (int a = low[0]; a <= high[0]; a++)
        for (int b = low[1]; b <= high[1]; b++)
            for (int d = low[2]; d <= high[2]; d++) {
                const int at[3] = {a, b, d};
                f(fold(g + 3, channels, last, place, (a * g[4] + b) * g[5] + d), at);
            }
}

// How many elements a window at a place of y has: of the padded image, or (pads 0) of the image itself.
INLINE int size_of(const int *g, const int *at, bool padded) {
    int size = 1;
    for (int axis = 0; axis < 3; axis++) {
        int pad = g[12 + axis], start = at[axis] * g[9 + axis] - pad;
        int stop = lesser(start + g[6 + axis], g[axis] + (padded ? pad : 0));
        size *= padded ? stop - start : greater(stop - greater(start, 0), 0);
    }
    return greater(size, padded ? 1 : 0);
}

KERNEL max_pool(const real *x, real *y, int *winner, const int *g, int channels, int last, int count) {
    EACH(i, count) {
        float most = -INFINITY, begin = -LARGEST;
        int who = -1, first_one = -1;
        window(g, channels, last, unfold(g + 3, channels, last, i), [&](int at, int flat) {
            if (at < 0) return;
            if (first_one < 0) first_one = flat, begin = x[at];
            if (x[at] > most) most = x[at], who = flat;
        });
        y[i] = who < 0 ? begin : most;
        winner[i] = who < 0 ? first_one : who;
    }
}

KERNEL max_pool_dx(const real *dy, const int *winner, real *dx, const int *g, int channels, int last, int count) {
    EACH(i, count) {
        Place place = unfold(g, channels, last, i);
        int me = (place.at[0] * g[1] + place.at[1]) * g[2] + place.at[2];
        float sum = 0.0f;
        windows(g, channels, last, place, [&](int at, const int *) { sum += winner[at] == me ? dy[at] : 0.0f; });
        dx[i] = sum;
    }
}

// dx[winner] += dy of winners anywhere, one plane after another by its own thread; dx is 0 before
KERNEL scatter(const real *dy, const int *winner, real *dx, int inputs, int outputs, int channels, int last, int count) {
    EACH(i, count) {
        int sample = i / channels, channel = i - sample * channels, step = last ? channels : 1;
        size_t to = last ? (size_t)sample * inputs * channels + channel : (size_t)i * inputs;
        size_t at = last ? (size_t)sample * outputs * channels + channel : (size_t)i * outputs;
        for (int o = 0; o < outputs; o++, at += step)
            if (winner[at] >= 0 && winner[at] < inputs) dx[to + (size_t)winner[at] * step] += dy[at];
    }
}

KERNEL sum_pool(const real *x, real *y, const int *g, int channels, int last, int mean, int count) {
    EACH(i, count) {
        Place place = unfold(g + 3, channels, last, i);
        float sum = 0.0f;
        window(g, channels, last, place, [&](int at, int) { sum += at < 0 ? 0.0f : x[at]; });
        y[i] = mean ? sum / size_of(g, place.at, true) : sum;
    }
}

KERNEL sum_pool_dx(const real *dy, real *dx, const int *g, int channels, int last, int mean, int count) {
    EACH(i, count) {
        float sum = 0.0f;
        windows(g, channels, last, unfold(g, channels, last, i),
                [&](int at, const int *to) { sum += mean ? dy[at] / size_of(g, to, true) : dy[at]; });
        dx[i] = sum;
    }
}

// y = (sum of |x|^p)^(1/p), the largest |x| taken out
KERNEL lp_pool(const real *x, real *y, const int *g, int channels, int last, float p, int count) {
    EACH(i, count) {
        Place place = unfold(g + 3, channels, last, i);
        float most = 0.0f, sum = 0.0f;
        window(g, channels, last, place, [&](int at, int) { most = at < 0 ? most : maximum(fabsf(x[at]), most); });
        float unit = most > 0.0f ? most : 1.0f;
        window(g, channels, last, place, [&](int at, int) { sum += at < 0 ? 0.0f : powf(fabsf(x[at]) / unit, p); });
        y[i] = unit * powf(sum, 1.0f / p);
    }
}

// dx = sum of dy sign(x) (|x| / y)^(p - 1)
KERNEL lp_pool_dx(const real *x, const real *y, const real *dy, real *dx, const int *g, int channels, int last, float p,
                  int count) {
    EACH(i, count) {
        float v = x[i], sign = v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v, sum = 0.0f;
        windows(g, channels, last, unfold(g, channels, last, i), [&](int at, const int *) {
            sum += dy[at] * sign * powf(fabsf(v) / (y[at] > 0.0f ? y[at] : 1.0f), p - 1.0f);
        });
        dx[i] = sum;
    }
}

// y = 1/beta log mean exp(beta x) of what the window holds of the image, 0 of nothing
KERNEL lse_pool(const real *x, real *y, const int *g, int channels, int last, float beta, int count) {
    EACH(i, count) {
        Place place = unfold(g + 3, channels, last, i);
        float most = -INFINITY, sum = 0.0f;
        int n = size_of(g, place.at, false);
        window(g, channels, last, place, [&](int at, int) { most = at < 0 ? most : maximum(x[at], most); });
        most = isfinite(most) ? most : 0.0f;
        window(g, channels, last, place, [&](int at, int) { sum += at < 0 ? 0.0f : expf(beta * (x[at] - most)); });
        y[i] = n > 0 ? most + logf(sum / n) / beta : 0.0f;
    }
}

// dx = sum of dy exp(beta (x - y)) / n over windows of n elements
KERNEL lse_pool_dx(const real *x, const real *y, const real *dy, real *dx, const int *g, int channels, int last, float beta,
                   int count) {
    EACH(i, count) {
        float sum = 0.0f;
        windows(g, channels, last, unfold(g, channels, last, i), [&](int at, const int *to) {
            sum += dy[at] * expf(beta * (x[i] - y[at])) / greater(size_of(g, to, false), 1);
        });
        dx[i] = sum;
    }
}

// y = one x of each window, drawn with probability max(x, 0) / sum: the first tap up to which the share exceeds the drawn number
KERNEL stochastic_pool(const real *x, const double *step, real *y, int *winner, const int *g, int channels, int last, u32 k0,
                       u32 k1, int count) {
    EACH(i, count) {
        Place place = unfold(g + 3, channels, last, i);
        int flat = (place.at[0] * g[4] + place.at[1]) * g[5] + place.at[2], who = -1;
        u64 logical = (u64)(place.sample * channels + place.channel) * (g[3] * g[4] * g[5]) + flat;
        double sum = 0.0, upto = 0.0;
        window(g, channels, last, place, [&](int at, int) { sum += at < 0 ? 0.0f : maximum(x[at], 0.0f); });
        double bound = philox(k0, k1, (u64)step[0], logical) / 4294967296.0 * sum;
        float drawn = 0.0f;
        bool found = false;
        window(g, channels, last, place, [&](int at, int from) {
            upto += at < 0 ? 0.0f : maximum(x[at], 0.0f);
            if (found) return;
            found = !(upto <= bound);
            drawn = at < 0 ? 0.0f : maximum(x[at], 0.0f);
            who = from;
        });
        y[i] = sum > 0.0 ? drawn : (float)sum;
        winner[i] = sum > 0.0 ? who : -1;
    }
}

// y = sum of a^2 / sum of a, a = max(x, 0)
KERNEL expected_pool(const real *x, real *y, const int *g, int channels, int last, int count) {
    EACH(i, count) {
        float sum = 0.0f, squares = 0.0f;
        window(g, channels, last, unfold(g + 3, channels, last, i), [&](int at, int) {
            float a = at < 0 ? 0.0f : maximum(x[at], 0.0f);
            sum += a;
            squares += a * a;
        });
        y[i] = squares / (sum == 0.0f ? 1.0f : sum);
    }
}
