// Recurrent nets of few units: a step in one launch, its product and what follows it.
// A block makes 8 units of 32 samples.  It reads the state of its samples and its rows of weights in slices of DEPTH, each
// fetched into registers while the one before it is multiplied; `units` is a multiple of 4.
#include "gates.cuh"
#define DEPTH 64
#define FOURS (DEPTH / 4)
#define THREADS 256

INLINE float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
INLINE float4 four_of(const float *x, bool there) { return there ? *(const float4 *)x : float4{0.0f, 0.0f, 0.0f, 0.0f}; }

// 32 rows of x (rows, width), from row `top` on
struct Rows {
    float4 held[32 * FOURS / THREADS];

    __device__ __forceinline__ void fetch(const float *x, int top, int rows, int from, int width) {
        for (int i = 0; i < 32 * FOURS / THREADS; i++) {
            int at = threadIdx.x + i * THREADS, row = top + at / FOURS, k = from + at % FOURS * 4;
            held[i] = four_of(x + (size_t)row * width + k, row < rows && k < width);
        }
    }

    __device__ __forceinline__ void put(float4 (*slice)[33]) const {
        for (int i = 0; i < 32 * FOURS / THREADS; i++) {
            int at = threadIdx.x + i * THREADS;
            slice[at % FOURS][at / FOURS] = held[i];
        }
    }
};

// Whose product a thread has in the end: neighbours have neighbouring units.
INLINE int sample() { return blockIdx.y * 32 + threadIdx.x / 8; }
INLINE int unit() { return blockIdx.x * 8 + threadIdx.x % 8; }

// s[gate] = sum over k of h[sample, k] w[gate * units + unit, k]:  a thread sums up all gates of a sample and unit
template <int GATES> INLINE void forth(const float *h, const float *w, int samples, int units, float *s) {
    const int COUNT = (GATES * 8 * FOURS + THREADS - 1) / THREADS;
    __shared__ float4 states[FOURS][33], weights[GATES * 8][FOURS];
    __shared__ float made[GATES][32][9];
    int lane = threadIdx.x % 32, mine = threadIdx.x / 32;
    float sum[GATES] = {};
    float4 held[COUNT];
    Rows rows;
    auto fetch = [&](int from) {
        rows.fetch(h, blockIdx.y * 32, samples, from, units);
        for (int i = 0; i < COUNT; i++) {
            int at = threadIdx.x + i * THREADS, row = at / FOURS, j = blockIdx.x * 8 + row % 8, k = from + at % FOURS * 4;
            held[i] = four_of(w + (size_t)(row / 8 * units + j) * units + k, row < GATES * 8 && j < units && k < units);
        }
    };
    fetch(0);
    for (int from = 0; from < units; from += DEPTH) {
        __syncthreads();
        rows.put(states);
        for (int i = 0; i < COUNT; i++) {
            int at = threadIdx.x + i * THREADS;
            if (at < GATES * 8 * FOURS) weights[at / FOURS][at % FOURS] = held[i];
        }
        __syncthreads();
        if (from + DEPTH < units) fetch(from + DEPTH);
        #pragma unroll
        for (int c = 0; c < FOURS; c++) {
            float4 x = states[c][lane];
            #pragma unroll
            for (int gate = 0; gate < GATES; gate++) sum[gate] += dot(x, weights[gate * 8 + mine][c]);
        }
    }
    for (int gate = 0; gate < GATES; gate++) made[gate][lane][mine] = sum[gate];
    __syncthreads();
    for (int gate = 0; gate < GATES; gate++) s[gate] = made[gate][threadIdx.x / 8][threadIdx.x % 8];
}

// The sum over k of d[sample, k] w[k, unit]:  a thread sums up 4 units of a sample over a quarter of the depth
INLINE float back(const float *d, const float *w, int samples, int units, int width) {
    __shared__ float4 states[FOURS][33];
    alignas(16) __shared__ float weights[8][DEPTH];
    __shared__ float made[4][32][9];
    int lane = threadIdx.x % 32, side = threadIdx.x / 32 % 2 * 4, quarter = threadIdx.x / 64;
    int row = threadIdx.x / 2, half = threadIdx.x % 2 * 4, j = blockIdx.x * 8 + half;
    float sum[4] = {};
    float4 held;
    Rows rows;
    auto fetch = [&](int from) {
        rows.fetch(d, blockIdx.y * 32, samples, from, width);
        held = four_of(w + (size_t)(from + row) * units + j, row < DEPTH && from + row < width && j < units);
    };
    fetch(0);
    for (int from = 0; from < width; from += DEPTH) {
        __syncthreads();
        rows.put(states);
        if (row < DEPTH) {
            weights[half][row] = held.x;
            weights[half + 1][row] = held.y;
            weights[half + 2][row] = held.z;
            weights[half + 3][row] = held.w;
        }
        __syncthreads();
        if (from + DEPTH < width) fetch(from + DEPTH);
        #pragma unroll
        for (int c = 0; c < FOURS / 4; c++) {
            int four = quarter * (FOURS / 4) + c;
            float4 x = states[four][lane];
            #pragma unroll
            for (int each = 0; each < 4; each++) sum[each] += dot(x, *(const float4 *)&weights[side + each][4 * four]);
        }
    }
    for (int each = 0; each < 4; each++) made[quarter][lane][side + each] = sum[each];
    __syncthreads();
    int n = threadIdx.x / 8, u = threadIdx.x % 8;
    return made[0][n][u] + made[1][n][u] + made[2][n][u] + made[3][n][u];
}

// --- the steps: the weights, what a cell takes, units, samples ---
BLOCK_KERNEL rnn_step(const float *w, const float *a, const float *h0, const float *keep, const float *live, float *h, real *y,
                      int y_row, int relu, int units, int samples) {
    float s[1];
    forth<1>(h0, w, samples, units, s);
    int n = sample(), j = unit();
    if (n < samples && j < units) rnn_cell(n * units + j, n, j, s, a, h0, keep, live, h, y, y_row, relu);
}

BLOCK_KERNEL lstm_step(const float *w, const float *a, const float *peep, const float *h0, const float *c0, const float *keep,
                       const float *live, float *gates, float *h, float *c, real *y, int y_row, int units, int samples) {
    float s[4];
    forth<4>(h0, w, samples, units, s);
    int n = sample(), j = unit();
    if (n < samples && j < units)
        lstm_cell(n * units + j, n, j, s, a, peep, h0, c0, keep, live, gates, h, c, y, y_row, units);
}

BLOCK_KERNEL gru_step(const float *w, const float *a, const float *b, const float *h0, const float *keep, const float *live,
                      float *notes, float *h, real *y, int y_row, int units, int samples) {
    float s[3];
    forth<3>(h0, w, samples, units, s);
    int n = sample(), j = unit();
    if (n < samples && j < units) gru_cell(n * units + j, n, j, s, a, b, h0, keep, live, notes, h, y, y_row, units);
}

// --- and back: d is the gradient by the product of the step after ---
BLOCK_KERNEL rnn_step_back(const float *w, const float *d, const float *h, const float *next, const float *live, const real *dy,
                           int dy_row, float *dh, float *da, int relu, int units, int samples) {
    float s = back(d, w, samples, units, units);
    int n = sample(), j = unit(), i = n * units + j;
    if (n < samples && j < units) rnn_cell_back(i, n, j, dh[i] + s, h, next, live, dy, dy_row, dh, da, relu);
}

BLOCK_KERNEL lstm_step_back(const float *w, const float *d, const float *gates, const float *peep, const float *c0,
                            const float *c, const float *keep, const float *next, const float *live, const real *dy, int dy_row,
                            float *dh, float *dc, float *da, int units, int samples) {
    float s = back(d, w, samples, units, 4 * units);
    int n = sample(), j = unit(), i = n * units + j;
    if (n < samples && j < units)
        lstm_cell_back(i, n, j, dh[i] + s, gates, peep, c0, c, keep, next, live, dy, dy_row, dh, dc, da, units);
}

BLOCK_KERNEL gru_step_back(const float *w, const float *d, const float *notes, const float *h0, const float *keep,
                           const float *next, const float *live, const real *dy, int dy_row, float *dh, float *da, float *dp,
                           int units, int samples) {
    float s = back(d, w, samples, units, 3 * units);
    int n = sample(), j = unit(), i = n * units + j;
    if (n < samples && j < units)
        gru_cell_back(i, n, j, dh[i] + s, notes, h0, keep, next, live, dy, dy_row, dh, da, dp, units);
}
