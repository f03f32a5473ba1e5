// Products by tiles: a block makes ROWS x COLUMNS numbers, each thread TALL x WIDE of them, from slices DEPTH deep in shared memory.
// Each slice is fetched into registers while the one before it is multiplied.

#ifndef ROWS
#define ROWS 64
#define COLUMNS 64
#define TALL 4
#define WIDE 4
#endif
#ifndef LEFT_VECTOR // how many neighbours are read at once: 4 where the memory is aligned so, else 1
#define LEFT_VECTOR 1
#define RIGHT_VECTOR 1
#endif
#ifndef FINISH // what becomes of a sum
#define FINISH(value) (value)
#endif
#define DEPTH (TALL * WIDE > 32 ? 8 : 16) // what is fetched ahead shares the registers with the sums
#define ACROSS (COLUMNS / WIDE)
#define THREADS (ROWS / TALL * ACROSS)
#undef BLOCK_KERNEL // two blocks a multiprocessor, or waiting for memory is not hidden
#define BLOCK_KERNEL extern "C" __global__ void __launch_bounds__(256, 2)

struct alignas(16) Slice {
    float left[DEPTH][ROWS + 4];
    float right[DEPTH][COLUMNS + 4];
};

// A thread's share of a slice of SIZE rows (or columns): runs of V numbers, along the depth or across it, as memory has them.
template <int SIZE, int V, bool ALONG> struct Share {
    static const int COUNT = SIZE * DEPTH / (V * THREADS);
    static_assert(SIZE * DEPTH % (V * THREADS) == 0, "the threads cannot share a slice evenly");
    float held[COUNT][V];

    INSIDE int deep(int i) const { return ALONG ? threadIdx.x % (DEPTH / V) * V : (threadIdx.x + i * THREADS) / (SIZE / V); }
    INSIDE int other(int i) const { return ALONG ? (threadIdx.x + i * THREADS) / (DEPTH / V) : threadIdx.x % (SIZE / V) * V; }

    template <class T> INSIDE void take(int i, const T *from) {
        if constexpr (V == 4)
            take4(held[i], from);
        else
            held[i][0] = *from;
    }

    INSIDE void clear(int i) {
        for (int v = 0; v < V; v++) held[i][v] = 0.0f;
    }

    INSIDE void put(float (*slice)[SIZE + 4]) const {
        #pragma unroll
        for (int i = 0; i < COUNT; i++)
            #pragma unroll
            for (int v = 0; v < V; v++) slice[deep(i) + (ALONG ? v : 0)][other(i) + (ALONG ? 0 : v)] = held[i][v];
    }
};

// Where in the tile the thread's row i and column j are: fours that lie apart, so that neighbours read neighbouring memory.
INLINE int row_of(int i) { return i / 4 * (4 * ROWS / TALL) + threadIdx.x / ACROSS * 4 + i % 4; }
INLINE int column_of(int j) { return j / 4 * (4 * COLUMNS / WIDE) + threadIdx.x % ACROSS * 4 + j % 4; }

static const int AT_ONCE = TALL * WIDE > 32 ? 2 : 8; // steps, so that the registers are enough

// sum[i][j] += sum over the depth of left[row i] right[column j]
INLINE void multiply(const Slice &slice, float (*sum)[WIDE]) {
    #pragma unroll AT_ONCE
    for (int d = 0; d < DEPTH; d++) {
        float a[TALL], b[WIDE];
        #pragma unroll
        for (int i = 0; i < TALL; i += 4) take4(a + i, &slice.left[d][row_of(i)]);
        #pragma unroll
        for (int j = 0; j < WIDE; j += 4) take4(b + j, &slice.right[d][column_of(j)]);
        #pragma unroll
        for (int i = 0; i < TALL; i++)
            #pragma unroll
            for (int j = 0; j < WIDE; j++) sum[i][j] += a[i] * b[j];
    }
}

// The sum over a slice of the row that the thread stands for.
INLINE float row_sum(const Slice &slice) {
    float sum = 0.0f;
    if (threadIdx.x < ROWS)
        for (int d = 0; d < DEPTH; d++) sum += slice.left[d][threadIdx.x];
    return sum;
}

// Four numbers, or as many as there are, `step` apart in memory: finished, or added to what is there.
template <class T> INLINE void store(T *to, int step, const float *sum, const float *bias, int left, bool add) {
    float made[4];
    #pragma unroll
    for (int j = 0; j < 4; j++)
        if (j < left) {
            float whole = sum[j] + (bias ? bias[j] : 0.0f);
            made[j] = add ? to[(size_t)j * step] + whole : FINISH(whole);
        }
    if (left >= 4 && step == 1 && (size_t)to % (4 * sizeof(T)) == 0)
        give4(to, made);
    else
        #pragma unroll
        for (int j = 0; j < 4; j++)
            if (j < left) to[(size_t)j * step] = made[j];
}

// Where the depth is cut, the last block of a tile adds up what all have made, in the order of the parts; false for the others.
// pieces: (tiles, parts, the sums of all threads and the totals of all rows); a ticket a tile
INLINE bool joined(float (*sum)[WIDE], float &total, float *pieces, int *tickets, int tile, int part, int parts) {
    const int size = ROWS * COLUMNS + ROWS;
    float *piece = pieces + (size_t)tile * parts * size, *mine = piece + (size_t)part * size;
    #pragma unroll
    for (int i = 0; i < TALL; i++)
        #pragma unroll
        for (int j = 0; j < WIDE; j++) mine[(i * WIDE + j) * THREADS + threadIdx.x] = sum[i][j];
    if (threadIdx.x < ROWS) mine[ROWS * COLUMNS + threadIdx.x] = total;
    if (!last_block(tickets + tile, parts)) return false;
    total = 0.0f;
    #pragma unroll
    for (int i = 0; i < TALL; i++)
        #pragma unroll
        for (int j = 0; j < WIDE; j++) sum[i][j] = 0.0f;
    for (int other = 0; other < parts; other++, piece += size) {
        #pragma unroll
        for (int i = 0; i < TALL; i++)
            #pragma unroll
            for (int j = 0; j < WIDE; j++) sum[i][j] += fresh(piece + (i * WIDE + j) * THREADS + threadIdx.x);
        if (threadIdx.x < ROWS) total += fresh(piece + ROWS * COLUMNS + threadIdx.x);
    }
    return true;
}
