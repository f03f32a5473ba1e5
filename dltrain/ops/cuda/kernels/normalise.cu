// Normalisation by channels, and what is done to the result while it is at hand: FINISH, which the recipe may define.

#ifndef FINISH
#define FINISH(value) (value)
#endif

// y = FINISH(scale (x - mean) / sqrt(variance + eps) + bias + other), of each channel; scale, bias, other where given
KERNEL channel_norm(const real *x, const float *mean, const float *variance, const float *scale, const float *bias,
                    const real *other, real *y, int rows, int channels, int plane, float eps) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    float rate = 1.0f / sqrtf(variance[c] + eps), middle = mean[c], least = bias ? bias[c] : 0.0f;
    if (scale) rate *= scale[c];
    #pragma unroll 4
    for (int r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += gridDim.y * blockDim.y) {
        size_t at = (size_t)r * channels + c;
        if (plane > 1) at = ((size_t)(r / plane) * channels + c) * plane + r % plane;
        float made = (x[at] - middle) * rate + least;
        y[at] = FINISH(other ? made + other[at] : made);
    }
}
