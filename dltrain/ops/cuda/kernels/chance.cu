// Random numbers without a state: functions of a key, the count of forward passes, and the logical index.

INLINE u64 passes(const double *count) { return (u64)count[0]; }

// y = x / keep where the word of the element is no less than `bound`, else 0
KERNEL dropout(const real *x, const double *passed, real *y, u32 k0, u32 k1, u32 bound, float keep, View of_x, int count) {
    EACH(i, count) {
        int at = place(of_x, i);
        y[at] = philox(k0, k1, passes(passed), i) >= bound ? x[at] / keep : 0.0f;
    }
}

// The same where logical order is the order of the memory: a thread does the four elements of a block of words.
KERNEL dropout_plain(const real *x, const double *passed, real *y, u32 k0, u32 k1, u32 bound, float keep, int size, int count) {
    EACH(block, count) {
        Words words = philox_block(k0, k1, passes(passed), block);
        for (int i = 0; i < 4 && 4 * block + i < size; i++)
            y[4 * block + i] = words.word[i] >= bound ? x[4 * block + i] / keep : 0.0f;
    }
}

// The i-th of `size` numbers of the standard normal distribution (Box & Muller 1958).
INLINE double normal(u32 k0, u32 k1, int i, int size) {
    int half = (size + 1) / 2, pair = i % half;
    double u = uniform(k0, k1, 0, pair), v = uniform(k0, k1, 0, half + pair);
    double r = sqrt(-2.0 * log1p(-u)), angle = 6.283185307179586 * v;
    return i < half ? r * cos(angle) : r * sin(angle);
}

// y = from + wide z, z normal (kind 0) or even in [0, 1); kept with a probability where that is not below 0
KERNEL draw(const double *passed, float *y, u32 k0, u32 k1, int kind, double from, double wide, double kept, View of_y, int count) {
    u32 one = philox(k0, k1, passes(passed), 0), two = philox(k0, k1, passes(passed), 1);
    EACH(i, count) {
        double z = from + wide * (kind == 0 ? normal(one, two, i, count) : uniform(one, two, 0, i));
        if (kept >= 0.0 && uniform(one, two, 1, i) >= kept) z = 0.0;
        y[place(of_y, i)] = (float)z;
    }
}

// Each row divided by its sum, a block a row.
BLOCK_KERNEL unit_rows(float *y, View of_y, int width) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < width; i += blockDim.x) sum += y[place(of_y, blockIdx.x * width + i)];
    sum = block_sum(sum);
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float *at = y + place(of_y, blockIdx.x * width + i);
        *at = (float)(*at / sum);
    }
}

// Classes: even, or P(c) = log((c + 2) / (c + 1)) / log(C + 1)
KERNEL draw_classes(const double *passed, int *drawn, u32 k0, u32 k1, int classes, int log_uniform, int count) {
    EACH(i, count) {
        u64 word = philox(k0, k1, passes(passed), i);
        double u = (double)word / 4294967296.0;
        int by_log = lesser((int)exp(u * log(classes + 1.0)) - 1, classes - 1);
        drawn[i] = log_uniform ? by_log : (int)(word * (u64)classes >> 32);
    }
}
