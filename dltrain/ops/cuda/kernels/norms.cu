// Sums over samples and places of each channel: a block has threads for some channels beside, and rows of them below each other.
// Row r of channel c lies at r channels + c; or, where the channels are not innermost, in planes of `plane` rows.

#define LANES 256 // threads of a block
#define AHEAD 8   // rows that a thread reads before it looks at them

INLINE size_t spot(int r, int c, int channels, int plane) {
    if (plane == 1) return (size_t)r * channels + c;
    int sample = r / plane;
    return ((size_t)sample * channels + c) * plane + (r - sample * plane);
}

struct Moments {
    float count, mean, squares; // squares: the sum of (x - mean)^2
};

// The moments of two sets together (Chan, Golub & LeVeque 1983).
INLINE void merge(Moments &a, const Moments &b) {
    if (b.count == 0.0f) return;
    float count = a.count + b.count, apart = b.mean - a.mean, share = b.count / count;
    a.mean += apart * share;
    a.squares += b.squares + apart * apart * a.count * share;
    a.count = count;
}

// Two sums over the threads of a block that have the same channel, by the first of them.
template <class T> INLINE void down(T &one, T &two) {
    __shared__ T ones[LANES], twos[LANES];
    int me = threadIdx.y * blockDim.x + threadIdx.x;
    ones[me] = one, twos[me] = two;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) ones[me] += ones[me + half * blockDim.x], twos[me] += twos[me + half * blockDim.x];
    }
    __syncthreads();
    one = ones[threadIdx.x], two = twos[threadIdx.x];
    __syncthreads();
}

// parts[b, 0], parts[b, 1] = mean of x and sum of (x - mean)^2 over rows b chunk to (b + 1) chunk of each channel
BLOCK_KERNEL chunk_moments(const real *x, float *parts, int rows, int channels, int plane, int chunk) {
    __shared__ Moments all[LANES];
    int c = blockIdx.x * blockDim.x + threadIdx.x, start = blockIdx.y * chunk, stop = lesser(start + chunk, rows);
    int me = threadIdx.y * blockDim.x + threadIdx.x, step = blockDim.y, r = start + threadIdx.y;
    Moments mine = {0.0f, 0.0f, 0.0f};
    if (c < channels) {
        for (; r + (AHEAD - 1) * step < stop; r += AHEAD * step) {
            float v[AHEAD];
            Moments few = {AHEAD, 0.0f, 0.0f};
            for (int i = 0; i < AHEAD; i++) v[i] = x[spot(r + i * step, c, channels, plane)];
            for (int i = 0; i < AHEAD; i++) few.mean += v[i];
            few.mean /= AHEAD;
            for (int i = 0; i < AHEAD; i++) few.squares += (v[i] - few.mean) * (v[i] - few.mean);
            merge(mine, few);
        }
        for (; r < stop; r += step) merge(mine, {1.0f, (float)x[spot(r, c, channels, plane)], 0.0f});
    }
    all[me] = mine;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) merge(all[me], all[me + half * blockDim.x]);
    }
    if (threadIdx.y > 0 || c >= channels) return;
    parts[(size_t)2 * blockIdx.y * channels + c] = all[me].mean;
    parts[(size_t)(2 * blockIdx.y + 1) * channels + c] = all[me].squares;
}

// mean and variance of all rows, of the chunks' parts, in double precision
BLOCK_KERNEL join_moments(const float *parts, float *mean, float *variance, int rows, int channels, int chunk, int chunks) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    double sum = 0.0, squares = 0.0, nothing = 0.0;
    for (int b = threadIdx.y; b < chunks && c < channels; b += blockDim.y)
        sum += (double)lesser(chunk, rows - b * chunk) * parts[(size_t)2 * b * channels + c];
    down(sum, nothing);
    double middle = sum / rows;
    for (int b = threadIdx.y; b < chunks && c < channels; b += blockDim.y) {
        double apart = parts[(size_t)2 * b * channels + c] - middle;
        squares += parts[(size_t)(2 * b + 1) * channels + c] + lesser(chunk, rows - b * chunk) * apart * apart;
    }
    down(squares, nothing);
    if (threadIdx.y > 0 || c >= channels) return;
    mean[c] = (float)middle;
    variance[c] = (float)(squares / rows);
}

// parts[b, 0], parts[b, 1] = sum of dy, sum of dy (x - mean), over the rows of a chunk
BLOCK_KERNEL chunk_sums(const real *x, const real *dy, const float *mean, float *parts, int rows, int channels, int plane,
                        int chunk) {
    int c = blockIdx.x * blockDim.x + threadIdx.x, start = blockIdx.y * chunk, stop = lesser(start + chunk, rows);
    float total = 0.0f, along = 0.0f;
    if (c < channels) {
        float middle = mean[c];
        #pragma unroll 4
        for (int r = start + threadIdx.y; r < stop; r += blockDim.y) {
            size_t at = spot(r, c, channels, plane);
            total += dy[at];
            along += dy[at] * (x[at] - middle);
        }
    }
    down(total, along);
    if (threadIdx.y > 0 || c >= channels) return;
    parts[(size_t)2 * blockIdx.y * channels + c] = total;
    parts[(size_t)(2 * blockIdx.y + 1) * channels + c] = along;
}

// total, along = the sums over all rows, along / sqrt(variance + eps);   dbias += total, dscale += along; each where wanted
BLOCK_KERNEL join_sums(const float *parts, const float *variance, float *dscale, float *dbias, float *total, float *along,
                       int channels, int chunks, float eps) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    double one = 0.0, two = 0.0;
    for (int b = threadIdx.y; b < chunks && c < channels; b += blockDim.y) {
        one += parts[(size_t)2 * b * channels + c];
        two += parts[(size_t)(2 * b + 1) * channels + c];
    }
    down(one, two);
    if (threadIdx.y > 0 || c >= channels) return;
    if (variance) two /= sqrt((double)(variance[c] + eps));
    if (total) total[c] = (float)one;
    if (along) along[c] = (float)two;
    if (dbias) dbias[c] += (float)one;
    if (dscale) dscale[c] += (float)two;
}

// dx = scale / sqrt(variance + eps) (dy - total / m - (x - mean) / sqrt(variance + eps) along / m), m = rows;
// without total and along: scale / sqrt(variance + eps) dy
KERNEL channel_norm_dx(const real *x, const float *mean, const float *variance, const float *scale, const real *dy,
                       const float *total, const float *along, real *dx, int rows, int channels, int plane, float eps) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    float bare = 1.0f / sqrtf(variance[c] + eps), rate = scale ? bare * scale[c] : bare, middle = mean[c];
    float push = total ? total[c] / rows : 0.0f, pull = total ? bare * (along[c] / rows) : 0.0f;
    #pragma unroll 4
    for (int r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += gridDim.y * blockDim.y) {
        size_t at = spot(r, c, channels, plane);
        dx[at] = rate * (total ? dy[at] - push - (x[at] - middle) * pull : (float)dy[at]);
    }
}

// --- what is kept of batches, for tests ---

// factor <- fraction factor + 1, and the kept sums alike, the variance times `more`
KERNEL keep_moments(const float *mean, const float *variance, float *kept_mean, float *kept_variance, float *factor,
                    float fraction, float more, int count) {
    if (first() == 0) factor[0] = fraction * factor[0] + 1.0f;
    EACH(c, count) {
        kept_mean[c] = fraction * kept_mean[c] + mean[c];
        kept_variance[c] = fraction * kept_variance[c] + more * variance[c];
    }
}

// mean = kept_mean / factor, variance alike; 0 where nothing has been kept
KERNEL kept_moments(const float *kept_mean, const float *kept_variance, const float *factor, float *mean, float *variance,
                    int count) {
    float share = factor[0] != 0.0f ? 1.0f / factor[0] : factor[0];
    EACH(c, count) {
        mean[c] = kept_mean[c] * share;
        variance[c] = kept_variance[c] * share;
    }
}
