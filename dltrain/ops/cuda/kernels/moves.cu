// Values in other places, and the sums that are the gradients of repeating them.

// y[y_at + its place] = (+=) x[x_at + its place], element by element in logical order
KERNEL move(const real *x, real *y, View of_x, View of_y, int x_at, int y_at, int add, int count) {
    EACH(i, count) {
        float value = x[x_at + place(of_x, i)];
        auto to = y + y_at + place(of_y, i);
        if (add)
            *to += value;
        else
            *to = value;
    }
}

// y[i] = (+=) scale * sum over j of x[kept(i) + gone(j)]
KERNEL collect(const real *x, real *y, View kept, View gone, View of_y, int over, float scale, int add, int count) {
    EACH(i, count) {
        auto from = x + place(kept, i);
        float sum = 0.0f;
        for (int j = 0; j < over; j++) sum += from[place(gone, j)];
        auto to = y + place(of_y, i);
        *to = sum * scale + (add ? *to : 0.0f);
    }
}

// The same, a block for each i.
BLOCK_KERNEL collect_wide(const real *x, real *y, View kept, View gone, View of_y, int over, float scale, int add) {
    auto from = x + place(kept, blockIdx.x);
    float sum = 0.0f;
    for (int j = threadIdx.x; j < over; j += blockDim.x) sum += from[place(gone, j)];
    sum = block_sum(sum);
    auto to = y + place(of_y, blockIdx.x);
    if (threadIdx.x == 0) *to = sum * scale + (add ? *to : 0.0f);
}

// y[n] = x[index[n]];   0 where index is -1, and NaN (where that is a value) for what is no sample of x
KERNEL take(const real *x, const int *index, real *y, View one, int size, int samples, int has_nan, int count) {
    int apart = size;
    EACH(i, count) {
        int n = i / size, inside = place(one, i - n * size), from = index[n];
        int known = greater(lesser(from, samples - 1), 0);
        float value = samples && from != -1 ? x[(size_t)known * apart + inside] : 0.0f;
        y[(size_t)n * apart + inside] = has_nan && (from < -1 || from >= samples) ? __int_as_float(0x7fc00000) : value;
    }
}

// dx[s] = sum of dy[n] over all n with index[n] = s, in order
KERNEL take_dx(const real *dy, const int *index, real *dx, View one, int size, int taken, int count) {
    EACH(i, count) {
        int s = i / size, inside = place(one, i - s * size);
        float sum = 0.0f;
        for (int n = 0; n < taken; n++)
            if (index[n] == s) sum += dy[(size_t)n * size + inside];
        dx[(size_t)s * size + inside] = sum;
    }
}

INLINE bool is_something(float x, int integers) { return integers ? __float_as_int(x) != 0 : x != 0.0f; }

BLOCK_KERNEL count_nonzero(const float *x, int *found, int integers, int count) {
    int sum = 0;
    EACH(i, count) sum += is_something(x[i], integers);
    sum = block_sum(sum);
    if (threadIdx.x == 0) found[0] = sum;
}

// One thread: the places of what is not 0, in order; -1 behind the last.
KERNEL find_nonzero(const float *x, int *index, int integers, int count, int room) {
    int at = 0;
    for (int i = 0; i < count && at < room; i++)
        if (is_something(x[i], integers)) index[at++] = i;
    for (; at < room; at++) index[at] = -1;
}

// y[i] = coeff * the sum (of |x|: 1, of x^2: 2; the mean: 3) of row i, of `over` elements in logical order
BLOCK_KERNEL reduce(const real *x, float *y, View of_x, View of_y, int over, int kind, float coeff) {
    float sum = 0.0f;
    for (int j = threadIdx.x; j < over; j += blockDim.x) {
        float value = x[place(of_x, blockIdx.x * over + j)];
        sum += kind == 1 ? fabsf(value) : kind == 2 ? value * value : value;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[place(of_y, blockIdx.x)] = (kind == 3 ? sum / over : sum) * coeff;
}

// dx = coeff * dy[row] * 1 (sign x, 2 x, 1 / over)
KERNEL reduce_dx(const real *x, const float *dy, real *dx, View of_x, View of_y, int over, int kind, float coeff, int count) {
    EACH(i, count) {
        int at = place(of_x, i);
        float value = x[at], sign = value > 0.0f ? 1.0f : value < 0.0f ? -1.0f : value;
        float slope = kind == 0 ? 1.0f : kind == 1 ? sign : kind == 2 ? 2.0f * value : 1.0f / over;
        dx[at] = dy[place(of_y, i / over)] * coeff * slope;
    }
}

// The places (values: the numbers) of the `top` largest of each line, largest first; among equals the larger place comes first.
KERNEL arg_max(const real *x, float *y, View lines, View line, View to, int size, int top, int step, int values, int beside,
               int whole, int count) {
    EACH(i, count) {
        auto row = x + place(lines, i);
        float *out = y + place(to, i), last = 0.0f;
        int before = size;
        for (int k = 0; k < top; k++) {
            int best = -1;
            for (int j = 0; j < size; j++) {
                float value = row[place(line, j)];
                bool open = k == 0 || value < last || (value == last && j < before);
                if (open && (best < 0 || value >= row[place(line, best)])) best = j;
            }
            before = greater(best, 0);
            last = row[place(line, before)];
            out[k * step] = values ? last : whole ? __int_as_float(before) : (float)before;
            if (beside) out[k * step + beside] = last;
        }
    }
}
