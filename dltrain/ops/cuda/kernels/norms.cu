// Sums over samples and places of each channel: a block has threads for some channels beside, and rows of them below each other.
// Row r of channel c lies at r channels + c; or, where the channels are not innermost, in planes of `plane` rows.
#include "beside.cuh"

#define LANES 256 // threads of a block
#define AHEAD 8   // rows that a thread reads before it looks at them

INLINE size_t spot(int r, int c, int channels, int plane) {
    if (BESIDE > 1 || plane == 1) return (size_t)r * channels + c;
    int sample = r / plane;
    return ((size_t)sample * channels + c) * plane + (r - sample * plane);
}

struct Moments { // of each channel of a thread
    float count, mean[BESIDE], squares[BESIDE]; // squares: the sum of (x - mean)^2
};

// The moments of two sets together (Chan, Golub & LeVeque 1983).
INLINE void merge(Moments &a, const Moments &b) {
    if (b.count == 0.0f) return;
    float count = a.count + b.count, share = b.count / count;
    for (int j = 0; j < BESIDE; j++) {
        float apart = b.mean[j] - a.mean[j];
        a.mean[j] += apart * share;
        a.squares[j] += b.squares[j] + apart * apart * a.count * share;
    }
    a.count = count;
}

// Two sums of each of N channels over the threads of a block that have the same channels, by the first of them.
template <int N, class T> INLINE void down(T *one, T *two) {
    __shared__ T ones[N][LANES], twos[N][LANES];
    int me = threadIdx.y * blockDim.x + threadIdx.x;
    for (int j = 0; j < N; j++) ones[j][me] = one[j], twos[j][me] = two[j];
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        int other = me + half * blockDim.x;
        __syncthreads();
        for (int j = 0; j < N && threadIdx.y < half; j++) ones[j][me] += ones[j][other], twos[j][me] += twos[j][other];
    }
    __syncthreads();
    for (int j = 0; j < N; j++) one[j] = ones[j][threadIdx.x], two[j] = twos[j][threadIdx.x];
    __syncthreads();
}

// parts[b, 0], parts[b, 1] = mean of x and sum of (x - mean)^2 over rows b chunk to (b + 1) chunk of each channel
BLOCK_KERNEL chunk_moments(const real *x, float *parts, int rows, int channels, int plane, int chunk) {
    __shared__ Moments all[LANES];
    int c = channel(), start = blockIdx.y * chunk, stop = lesser(start + chunk, rows);
    int me = threadIdx.y * blockDim.x + threadIdx.x, step = blockDim.y, r = start + threadIdx.y;
    Moments mine = {};
    if (c < channels) {
        for (; r + (AHEAD - 1) * step < stop; r += AHEAD * step) {
            float v[AHEAD][BESIDE];
            Moments few = {AHEAD};
            for (int i = 0; i < AHEAD; i++) take(v[i], x + spot(r + i * step, c, channels, plane));
            for (int j = 0; j < BESIDE; j++) {
                for (int i = 0; i < AHEAD; i++) few.mean[j] += v[i][j];
                few.mean[j] /= AHEAD;
                for (int i = 0; i < AHEAD; i++) few.squares[j] += (v[i][j] - few.mean[j]) * (v[i][j] - few.mean[j]);
            }
            merge(mine, few);
        }
        for (; r < stop; r += step) {
            Moments one = {1.0f};
            take(one.mean, x + spot(r, c, channels, plane));
            merge(mine, one);
        }
    }
    all[me] = mine;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) merge(all[me], all[me + half * blockDim.x]);
    }
    if (threadIdx.y > 0 || c >= channels) return;
    auto to = parts + (size_t)2 * blockIdx.y * channels + c;
    for (int j = 0; j < BESIDE; j++) to[j] = all[me].mean[j], to[channels + j] = all[me].squares[j];
}

// mean and variance of all rows, of the chunks' parts, in double precision
BLOCK_KERNEL join_moments(const float *parts, float *mean, float *variance, int rows, int channels, int chunk, int chunks) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    double sum = 0.0, squares = 0.0, nothing = 0.0;
    for (int b = threadIdx.y; b < chunks && c < channels; b += blockDim.y)
        sum += (double)lesser(chunk, rows - b * chunk) * parts[(size_t)2 * b * channels + c];
    down<1>(&sum, &nothing);
    double middle = sum / rows;
    for (int b = threadIdx.y; b < chunks && c < channels; b += blockDim.y) {
        double apart = parts[(size_t)2 * b * channels + c] - middle;
        squares += parts[(size_t)(2 * b + 1) * channels + c] + lesser(chunk, rows - b * chunk) * apart * apart;
    }
    down<1>(&squares, &nothing);
    if (threadIdx.y > 0 || c >= channels) return;
    mean[c] = (float)middle;
    variance[c] = (float)(squares / rows);
}

// parts[b, 0], parts[b, 1] = sum of dy, sum of dy (x - mean), over the rows of a chunk
BLOCK_KERNEL chunk_sums(const real *x, const real *dy, const float *mean, float *parts, int rows, int channels, int plane,
                        int chunk) {
    int c = channel(), start = blockIdx.y * chunk, stop = lesser(start + chunk, rows);
    float total[BESIDE] = {}, along[BESIDE] = {};
    if (c < channels) {
        float middle[BESIDE];
        for (int j = 0; j < BESIDE; j++) middle[j] = mean[c + j];
        #pragma unroll 4
        for (int r = start + threadIdx.y; r < stop; r += blockDim.y) {
            size_t at = spot(r, c, channels, plane);
            float v[BESIDE], d[BESIDE];
            take(d, dy + at);
            take(v, x + at);
            for (int j = 0; j < BESIDE; j++) total[j] += d[j], along[j] += d[j] * (v[j] - middle[j]);
        }
    }
    down<BESIDE>(total, along);
    if (threadIdx.y > 0 || c >= channels) return;
    auto to = parts + (size_t)2 * blockIdx.y * channels + c;
    for (int j = 0; j < BESIDE; j++) to[j] = total[j], to[channels + j] = along[j];
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
    down<1>(&one, &two);
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
    int c = channel();
    if (c >= channels) return;
    float rate[BESIDE], middle[BESIDE], push[BESIDE], pull[BESIDE];
    for (int j = 0; j < BESIDE; j++) {
        float bare = 1.0f / sqrtf(variance[c + j] + eps);
        rate[j] = scale ? bare * scale[c + j] : bare, middle[j] = mean[c + j];
        push[j] = total ? total[c + j] / rows : 0.0f, pull[j] = total ? bare * (along[c + j] / rows) : 0.0f;
    }
    #pragma unroll 4
    for (int r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += gridDim.y * blockDim.y) {
        size_t at = spot(r, c, channels, plane);
        float v[BESIDE], d[BESIDE];
        take(d, dy + at);
        if (total) take(v, x + at);
        for (int j = 0; j < BESIDE; j++) d[j] = rate[j] * (total ? d[j] - push[j] - (v[j] - middle[j]) * pull[j] : d[j]);
        give(dx + at, d);
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
