// Normalisation by channels, and what is done to the result while it is at hand: FINISH, which the recipe may define.
#include "beside.cuh"

#ifndef FINISH
#define FINISH(value) (value)
#endif

// y = FINISH(scale (x - mean) / sqrt(variance + eps) + bias + other), of each channel; scale, bias, other where given
KERNEL channel_norm(const real *x, const float *mean, const float *variance, const float *scale, const float *bias,
                    const real *other, real *y, int rows, int channels, int plane, float eps) {
    int c = channel();
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
