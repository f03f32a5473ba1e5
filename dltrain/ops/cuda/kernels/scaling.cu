// The objective times a factor on the way back, so that small gradients do not vanish in 16 bits; OVERFLOWN as reference/scaling.py.

#define OVERFLOWN 2

KERNEL magnified(const float *x, const float *factor, real *y, int count) {
    EACH(i, count) y[i] = x[i] * factor[0];
}

// failed = OVERFLOWN, or 1 where the factor is 1, if any g is not finite
KERNEL overflown(const float *g, const float *factor, int *failed, int count) {
    bool bad = false;
    EACH(i, count) bad |= !isfinite(g[i]);
    if (bad && failed[0] != 1) failed[0] = factor[0] > 1.0f ? OVERFLOWN : 1;
}

KERNEL reduced(float *g, const float *factor, const int *failed, int count) {
    float share = 1.0f / factor[0];
    EACH(i, count) g[i] = failed[0] == OVERFLOWN ? 0.0f : g[i] * share;
}

KERNEL follow(float *factor, float *taken, int *failed, int every, float largest) {
    if (failed[0] == OVERFLOWN) {
        failed[0] = 0, taken[0] = 0.0f;
        factor[0] = factor[0] > 2.0f ? factor[0] / 2.0f : 1.0f;
    } else if (!failed[0]) {
        taken[0] += 1.0f;
        if (taken[0] >= every) taken[0] = 0.0f, factor[0] = minimum(largest, factor[0] * 2.0f);
    }
}
