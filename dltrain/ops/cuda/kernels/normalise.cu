// Normalisation by channels, and what is done to the result while it is at hand: FINISH, which the recipe may define.
// A thread has BESIDE neighbouring channels, as in norms.cu.

#ifndef FINISH
#define FINISH(value) (value)
#endif
#ifndef BESIDE
#define BESIDE 1
#endif

template <class T> INLINE void take(float *to, const T *from) {
    if (BESIDE == 4) take4(to, from);
    else to[0] = from[0];
}

template <class T> INLINE void give(T *to, const float *from) {
    if (BESIDE == 4) give4(to, from);
    else to[0] = from[0];
}

// y = FINISH(scale (x - mean) / sqrt(variance + eps) + bias + other), of each channel; scale, bias, other where given
KERNEL channel_norm(const real *x, const float *mean, const float *variance, const float *scale, const float *bias,
                    const real *other, real *y, int rows, int channels, int plane, float eps) {
    int c = BESIDE * (blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= channels) return;
    float rate[BESIDE], middle[BESIDE], least[BESIDE];
    for (int j = 0; j < BESIDE; j++) {
        rate[j] = 1.0f / sqrtf(variance[c + j] + eps), middle[j] = mean[c + j], least[j] = bias ? bias[c + j] : 0.0f;
        if (scale) rate[j] *= scale[c + j];
    }
    #pragma unroll 4
    for (int r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += gridDim.y * blockDim.y) {
        size_t at = (size_t)r * channels + c;
        if (BESIDE == 1 && plane > 1) at = ((size_t)(r / plane) * channels + c) * plane + r % plane;
        float v[BESIDE], more[BESIDE];
        take(v, x + at);
        if (other) take(more, other + at);
        for (int j = 0; j < BESIDE; j++) {
            float made = (v[j] - middle[j]) * rate[j] + least[j];
            v[j] = FINISH(other ? made + more[j] : made);
        }
        give(y + at, v);
    }
}
