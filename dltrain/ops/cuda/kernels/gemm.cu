// Matrix products, computed in float32, by tiles; what is split over blocks is joined in a fixed order.
#include "tiles.cuh"

#ifndef LEFT_ALONG // whether a row of a, a column of b, is a run of memory
#define LEFT_ALONG true
#define RIGHT_ALONG false
#endif

// c[m, n] = sum over k of a[m, k] b[k, n] (+ bias[n]), or added to what is there;  totals[m] += sum over k of a[m, k]
// A batch lies as the views say.  With parts > 1 each block does `span` of k, and the last of a tile joins them; or, where there are no
// tickets, c is float32, (batch, parts, m n and m for totals), and somebody else does.
BLOCK_KERNEL gemm(const real *a, const real *b, real *c, const float *bias, float *totals, float *pieces, int *tickets,
                  View a_batch, View b_batch, View c_batch, int a_step, int a_unit, int b_step, int b_unit, int c_row,
                  int c_column, int m, int n, int k, int parts, int span, int add) {
    __shared__ Slice slices[2];
    int across = (n + COLUMNS - 1) / COLUMNS, down = (m + ROWS - 1) / ROWS, at = blockIdx.x;
    int side = at % across * COLUMNS, top = at / across % down * ROWS, part = at / across / down % parts;
    int batch = at / across / down / parts, stop = lesser(k, (part + 1) * span), now = 0;
    a += place(a_batch, batch);
    b += place(b_batch, batch);
    Share<ROWS, LEFT_VECTOR, LEFT_ALONG> left;
    Share<COLUMNS, RIGHT_VECTOR, RIGHT_ALONG> right;
    float sum[TALL][WIDE] = {}, total = 0.0f;
    auto fetch = [&](int from) {
        #pragma unroll
        for (int i = 0; i < left.COUNT; i++) {
            int row = top + left.other(i), d = from + left.deep(i);
            if (row < m && d < stop)
                left.take(i, a + (LEFT_ALONG ? (size_t)row * a_step + (size_t)d * a_unit : (size_t)d * a_step + (size_t)row * a_unit));
            else
                left.clear(i);
        }
        #pragma unroll
        for (int i = 0; i < right.COUNT; i++) {
            int column = side + right.other(i), d = from + right.deep(i);
            if (column < n && d < stop)
                right.take(i, b + (RIGHT_ALONG ? (size_t)column * b_step + (size_t)d * b_unit : (size_t)d * b_step + (size_t)column * b_unit));
            else
                right.clear(i);
        }
    };
    fetch(part * span);
    for (int from = part * span; from < stop; from += DEPTH, now ^= 1) {
        left.put(slices[now].left);
        right.put(slices[now].right);
        __syncthreads();
        if (from + DEPTH < stop) fetch(from + DEPTH);
        multiply(slices[now], sum);
        if (totals && side == 0) total += row_sum(slices[now]);
    }
    bool apart = parts > 1 && !tickets;
    if (tickets && !joined(sum, total, pieces, tickets, batch * down * across + at % (down * across), part, parts)) return;
    if (apart) {
        c += ((size_t)batch * parts + part) * ((size_t)m * n + (totals ? m : 0));
        if (totals) totals = (float *)(c + (size_t)m * n);
    } else
        c += place(c_batch, batch);
    if (totals && side == 0 && threadIdx.x < ROWS && top + threadIdx.x < m) {
        float *to = totals + top + threadIdx.x;
        *to = apart ? total : *to + total;
    }
    #pragma unroll
    for (int i = 0; i < TALL; i++) {
        int row = top + row_of(i);
        if (row >= m) continue;
        #pragma unroll
        for (int j = 0; j < WIDE; j += 4) {
            int column = side + column_of(j);
            auto to = c + (size_t)row * c_row + (size_t)column * c_column;
            store(to, c_column, sum[i] + j, bias ? bias + column : bias, n - column, add);
        }
    }
}

// y[i] = sum of the parts of i (+ bias[i % columns]), or added to what is there;  totals[i] += sum of the parts that lie behind y's
// 32 numbers a block, 8 threads down the parts of each.
BLOCK_KERNEL join(const float *parts, real *y, const float *bias, float *totals, int count, int rows, int columns, int more,
                  int add) {
    __shared__ float sums[8][32];
    int i = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    if (i < count + more)
        for (int part = threadIdx.y; part < rows; part += 8) sum += parts[(size_t)part * (count + more) + i];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= count + more) return;
    for (int row = 1; row < 8; row++) sum += sums[row][threadIdx.x];
    if (i >= count)
        totals[i - count] += sum;
    else if (add)
        y[i] += sum;
    else
        y[i] = FINISH(sum + (bias ? bias[i % columns] : 0.0f));
}

// y[column] += sum over rows: 32 columns a block, 8 threads down each;   with more blocks down, y[block, column] = the sum of its rows
BLOCK_KERNEL column_sums(const real *x, float *y, int rows, int columns) {
    __shared__ float parts[8][32];
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    if (column < columns)
        for (int row = blockIdx.y * 8 + threadIdx.y; row < rows; row += gridDim.y * 8) sum += x[(size_t)row * columns + column];
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= columns) return;
    for (int part = 1; part < 8; part++) sum += parts[part][threadIdx.x];
    float *to = y + (size_t)blockIdx.y * columns + column;
    *to = gridDim.y > 1 ? sum : *to + sum;
}
