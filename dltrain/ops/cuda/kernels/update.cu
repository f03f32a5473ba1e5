// Sums over all parameters in double precision, in a fixed order; bounds and averages of the weights.

// norm = sum of g^2: a part a block, joined by the last
BLOCK_KERNEL square_sums(const float *g, double *parts, double *norm, int *ticket, int count) {
    double sum = 0.0;
    EACH(i, count) sum += (double)g[i] * g[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
    if (!last_block(ticket, gridDim.x)) return;
    sum = 0.0;
    for (int i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += fresh(parts + i);
    sum = block_sum(sum);
    if (threadIdx.x == 0) norm[0] = sum;
}

// norms[0, s], norms[1, s] = sum of w^2, of g^2 over segment s: a block for each
BLOCK_KERNEL segment_squares(const float *w, const float *g, const double *rows, double *norms, int segments) {
    const float *x = blockIdx.y ? g : w;
    const double *row = rows + 4 * blockIdx.x;
    double sum = 0.0;
    for (int i = (int)row[0] + threadIdx.x; i < (int)row[1]; i += blockDim.x) sum += (double)x[i] * x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) norms[blockIdx.y * segments + blockIdx.x] = sum;
}

KERNEL clip_weights(float *w, const int *failed, const double *rows, float bound) {
    if (failed[0]) return;
    const double *row = rows + 4 * blockIdx.y;
    for (int i = (int)row[0] + first(); i < (int)row[1]; i += stride()) w[i] = minimum(maximum(w[i], -bound), bound);
}

// A block for each row of a weight: one longer than bound is shortened to it.
BLOCK_KERNEL max_norm(float *w, const int *failed, float bound, int width) {
    float *row = w + (size_t)blockIdx.x * width;
    double sum = 0.0;
    for (int i = threadIdx.x; i < width; i += blockDim.x) sum += (double)row[i] * row[i];
    double length = sqrt(block_sum(sum));
    if (failed[0] || length <= bound) return;
    for (int i = threadIdx.x; i < width; i += blockDim.x) row[i] *= (float)(bound / length);
}

KERNEL average(const float *w, float *mean, const float *fresh, const int *failed, int count) {
    if (failed[0]) return;
    EACH(i, count) mean[i] += fresh[0] * (w[i] - mean[i]);
}
