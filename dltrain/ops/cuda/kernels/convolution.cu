// Convolutions of channels-last images as products by tiles: rows are places, the depth is taps and channels, read where they lie.
#include "tiles.cuh"

#ifndef TURNED // whether the weights of neighbouring columns, not of neighbouring channels, lie side by side
#define TURNED false
#endif
#define FAR (1 << 29)

// A tap and a channel of it, `from` numbers into (taps, depth), and on by a slice.
struct Walk {
    int tap, c;
    INSIDE void begin(int from, int depth) {
        tap = from / depth;
        c = from % depth;
    }
    INSIDE void next(int taps, int rest, int depth) {
        tap += taps;
        c += rest;
        if (c >= depth) {
            c -= depth;
            tap++;
        }
    }
};

// y[place, column] = sum over taps t, c of x[step place + tap t, c] w(t, c, column) + bias[column]
// taps: (rows on, columns on, elements on in x, element of w) of each.   ways: parts of y that are apart, each with taps of its
// own: (rows, columns, first row, first column, first tap, number of taps); way 0 is the largest.   With parts > 1 the depth of
// each way is cut, and the last block of a tile joins the parts; or, where there are no tickets, y is (parts, all of y).
BLOCK_KERNEL gather(const real *x, const real *w, const float *bias, real *y, float *pieces, int *tickets, const int *taps,
                    const int *ways, int samples, int height, int width, int groups, int depth, int columns, int y_height,
                    int y_width, int step_high, int step_wide, int y_step_high, int y_step_wide, int w_step, int parts) {
    __shared__ Slice slices[2];
    __shared__ int start[ROWS], high[ROWS], wide[ROWS], to[ROWS];
    const int *way = ways + blockIdx.z / parts * 6;
    int across = (columns + COLUMNS - 1) / COLUMNS, side = blockIdx.x % across * COLUMNS, top = blockIdx.x / across * ROWS;
    int group = blockIdx.y, per = way[0] * way[1], rows = samples * per, first_tap = way[4], deep = way[5] * depth, now = 0;
    int span = (deep + parts * DEPTH - 1) / (parts * DEPTH) * DEPTH, part = blockIdx.z % parts, begin = part * span;
    int stop = lesser(deep, begin + span);
    if (top >= rows) return;
    for (int row = threadIdx.x; row < ROWS; row += THREADS) {
        int n = (top + row) / per, p = (top + row) % per / way[1], q = (top + row) % way[1];
        high[row] = top + row < rows ? p * step_high : FAR;
        wide[row] = q * step_wide;
        start[row] = ((n * height + p * step_high) * width + wide[row]) * groups * depth + group * depth;
        int at = (n * y_height + way[2] + p * y_step_high) * y_width + way[3] + q * y_step_wide;
        to[row] = top + row < rows ? at * groups * columns + group * columns : -1;
    }
    __syncthreads();
    Share<ROWS, LEFT_VECTOR, true> left;
    Share<COLUMNS, RIGHT_VECTOR, !TURNED> right;
    int more = DEPTH / depth, rest = DEPTH % depth;
    Walk mine, theirs[right.COUNT];
    mine.begin(begin + left.deep(0), depth);
    #pragma unroll
    for (int i = 0; i < right.COUNT; i++) theirs[i].begin(begin + right.deep(i), depth);
    w += (size_t)group * (TURNED ? depth : columns) * w_step;
    auto fetch = [&](int from) {
        const int *tap = taps + 4 * (first_tap + mine.tap);
        bool there = from + left.deep(0) < stop;
        int down = there ? tap[0] : 0, aside = there ? tap[1] : 0, on = there ? tap[2] + mine.c : 0;
        #pragma unroll
        for (int i = 0; i < left.COUNT; i++) {
            int row = left.other(i);
            if (there && (unsigned)(high[row] + down) < (unsigned)height && (unsigned)(wide[row] + aside) < (unsigned)width)
                left.take(i, x + start[row] + on);
            else
                left.clear(i);
        }
        mine.next(more, rest, depth);
        #pragma unroll
        for (int i = 0; i < right.COUNT; i++) {
            int column = side + right.other(i), c = theirs[i].c;
            if (column < columns && from + right.deep(i) < stop) {
                auto at = w + taps[4 * (first_tap + theirs[i].tap) + 3];
                right.take(i, at + (TURNED ? (size_t)c * w_step + column : (size_t)column * w_step + c));
            } else
                right.clear(i);
            theirs[i].next(more, rest, depth);
        }
    };
    float sum[TALL][WIDE] = {};
    fetch(begin);
    for (int from = begin; from < stop; from += DEPTH, now ^= 1) {
        left.put(slices[now].left);
        right.put(slices[now].right);
        __syncthreads();
        if (from + DEPTH < stop) fetch(from + DEPTH);
        multiply(slices[now], sum);
    }
    float none = 0.0f;
    int tile = (blockIdx.z / parts * gridDim.y + group) * gridDim.x + blockIdx.x;
    if (tickets && !joined(sum, none, pieces, tickets, tile, part, parts)) return;
    if (bias) bias += group * columns;
    if (!tickets) y += (size_t)part * samples * y_height * y_width * groups * columns;
    #pragma unroll
    for (int i = 0; i < TALL; i++) {
        int place = to[row_of(i)];
        #pragma unroll
        for (int j = 0; j < WIDE && place >= 0; j += 4) {
            int column = side + column_of(j);
            store(y + place + column, 1, sum[i] + j, bias ? bias + column : bias, columns - column, false);
        }
    }
}

// dw[o, t, c] += sum over places of dy[place, o] x[step place + tap t, c];   db[o] += sum of dy[place, o]
// The places are cut into parts of `span`, which the last block of a tile joins; or, where there are no tickets, dw is (parts, all
// weights and, where db is wanted, all of db).
BLOCK_KERNEL weights(const real *x, const real *dy, float *dw, float *db, float *pieces, int *tickets, const int *taps,
                     int samples, int height, int width, int groups, int depth, int outs, int y_height, int y_width,
                     int step_high, int step_wide, int tap_count, int parts, int span) {
    __shared__ Slice slices[2];
    __shared__ int start[2][DEPTH], high[2][DEPTH], wide[2][DEPTH];
    int columns = tap_count * depth, across = (columns + COLUMNS - 1) / COLUMNS, side = blockIdx.x % across * COLUMNS;
    int top = blockIdx.x / across * ROWS, group = blockIdx.y, part = blockIdx.z, now = 0;
    int stop = lesser(samples * y_height * y_width, (part + 1) * span);
    Share<ROWS, LEFT_VECTOR, false> left;
    Share<COLUMNS, RIGHT_VECTOR, false> right;
    int column = side + right.other(0), row = top + left.other(0);
    const int *tap = taps + 4 * (column < columns ? column / depth : 0);
    int down = tap[0], aside = tap[1], on = tap[2] + column % depth + group * depth;
    auto locate = [&](int from, int which) {
        if (threadIdx.x >= DEPTH) return;
        int place = from + threadIdx.x, n = place / (y_height * y_width);
        int p = place / y_width % y_height * step_high, q = place % y_width * step_wide;
        high[which][threadIdx.x] = place < stop ? p : FAR;
        wide[which][threadIdx.x] = q;
        start[which][threadIdx.x] = ((n * height + p) * width + q) * groups * depth;
    };
    auto fetch = [&](int from, int which) {
        #pragma unroll
        for (int i = 0; i < left.COUNT; i++) {
            if (row < outs && from + left.deep(i) < stop)
                left.take(i, dy + (size_t)(from + left.deep(i)) * groups * outs + group * outs + row);
            else
                left.clear(i);
        }
        #pragma unroll
        for (int i = 0; i < right.COUNT; i++) {
            int d = right.deep(i), h = high[which][d] + down, l = wide[which][d] + aside;
            if (column < columns && (unsigned)h < (unsigned)height && (unsigned)l < (unsigned)width)
                right.take(i, x + start[which][d] + on);
            else
                right.clear(i);
        }
    };
    float sum[TALL][WIDE] = {}, total = 0.0f;
    locate(part * span, 0);
    __syncthreads();
    fetch(part * span, 0);
    for (int from = part * span; from < stop; from += DEPTH, now ^= 1) {
        left.put(slices[now].left);
        right.put(slices[now].right);
        locate(from + DEPTH, now ^ 1);
        __syncthreads();
        if (from + DEPTH < stop) fetch(from + DEPTH, now ^ 1);
        multiply(slices[now], sum);
        if (db && side == 0) total += row_sum(slices[now]);
    }
    size_t count = (size_t)groups * outs * columns;
    bool apart = parts > 1 && !tickets;
    if (tickets && !joined(sum, total, pieces, tickets, group * gridDim.x + blockIdx.x, part, parts)) return;
    if (apart) {
        dw += part * (count + (db ? groups * outs : 0));
        if (db) db = dw + count;
    }
    if (db && side == 0 && threadIdx.x < ROWS && top + threadIdx.x < outs) {
        float *to = db + group * outs + top + threadIdx.x;
        *to = apart ? total : *to + total;
    }
    #pragma unroll
    for (int i = 0; i < TALL; i++)
        #pragma unroll
        for (int j = 0; j < WIDE && top + row_of(i) < outs; j += 4) {
            int at = side + column_of(j);
            store(dw + (size_t)(group * outs + top + row_of(i)) * columns + at, 1, sum[i] + j, nullptr, columns - at, !apart);
        }
}
