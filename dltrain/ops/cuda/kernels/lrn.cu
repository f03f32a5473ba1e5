// Local response normalisation, and what is compared with its surroundings.

#define ROOM 4096 // numbers of a block's rows, with `half` more at either end

// l^-beta; the usual 3/4 by roots
INLINE float lowered(float l, float beta) {
    if (beta != 0.75f) return powf(l, -beta);
    float root = sqrtf(l);
    return 1.0f / (root * sqrtf(root));
}

// --- across channels that are innermost: a block has whole rows, its threads stand beside and below each other ---
struct Row {
    int row, wide; // which row of the array; how many numbers the room has for it
    bool live;
    float *room; // the row's numbers begin at room[half]
};

INLINE Row row_of(float *rooms, int rows, int channels, int half) {
    int row = blockIdx.x * blockDim.y + threadIdx.y, wide = channels + 2 * half;
    return {row, wide, row < rows, rooms + threadIdx.y * wide};
}

INLINE float around(const Row &me, int c, int size) {
    float sum = 0.0f;
    for (int i = 0; i < size; i++) sum += me.room[c + i];
    return sum;
}

// local = offset + rate sum of x^2 over `size` channels around;   y = x local^-beta
BLOCK_KERNEL lrn_rows(const real *x, float *local, real *y, int rows, int channels, int size, float rate, float beta,
                      float offset) {
    __shared__ float rooms[ROOM];
    int half = size / 2;
    Row me = row_of(rooms, rows, channels, half);
    size_t start = (size_t)me.row * channels;
    for (int i = threadIdx.x; i < me.wide && me.live; i += blockDim.x) {
        int c = i - half;
        float v = c >= 0 && c < channels ? (float)x[start + c] : 0.0f;
        me.room[i] = v * v;
    }
    __syncthreads();
    for (int c = threadIdx.x; c < channels && me.live; c += blockDim.x) {
        float l = offset + rate * around(me, c, size);
        local[start + c] = l;
        y[start + c] = x[start + c] * lowered(l, beta);
    }
}

// dx = dy local^-beta - 2 rate beta x (sum of dy x local^(-beta - 1) around)
BLOCK_KERNEL lrn_rows_dx(const real *x, const float *local, const real *dy, real *dx, int rows, int channels, int size,
                         float rate, float beta) {
    __shared__ float rooms[ROOM];
    int half = size / 2;
    Row me = row_of(rooms, rows, channels, half);
    size_t start = (size_t)me.row * channels;
    for (int i = threadIdx.x; i < me.wide && me.live; i += blockDim.x) {
        int c = i - half;
        float made = 0.0f;
        if (c >= 0 && c < channels) {
            float l = local[start + c];
            made = dy[start + c] * lowered(l, beta) * x[start + c] / l;
        }
        me.room[i] = made;
    }
    __syncthreads();
    for (int c = threadIdx.x; c < channels && me.live; c += blockDim.x) {
        float own = dy[start + c] * lowered(local[start + c], beta);
        dx[start + c] = own - 2.0f * rate * beta * x[start + c] * around(me, c, size);
    }
}

// --- over the places of images, channels innermost: a row of the grid is a row of places, its threads run along it ---

// The sum of f(where) over the places around place b of row a that are in the image.
template <class F> INLINE float about(int sample, int a, int b, int channel, int h, int w, int c, int half, F f) {
    float sum = 0.0f;
    for (int p = greater(a - half, 0); p <= lesser(a + half, h - 1); p++)
        for (int q = greater(b - half, 0); q <= lesser(b + half, w - 1); q++)
            sum += f(((size_t)(sample * h + p) * w + q) * c + channel);
    return sum;
}

KERNEL lrn_image(const real *x, float *local, real *y, int n, int h, int w, int c, int size, float rate, float beta,
                 float offset) {
    for (int row = blockIdx.y; row < n * h; row += gridDim.y)
        EACH(i, w * c) {
            int b = i / c;
            size_t here = (size_t)row * w * c + i;
            float sum = about(row / h, row % h, b, i - b * c, h, w, c, size / 2, [&](size_t at) { return x[at] * x[at]; });
            float l = offset + rate * sum;
            local[here] = l;
            y[here] = x[here] * lowered(l, beta);
        }
}

KERNEL lrn_image_dx(const real *x, const float *local, const real *dy, const float *pull, real *dx, int n, int h, int w,
                    int c, int size, float rate, float beta) {
    for (int row = blockIdx.y; row < n * h; row += gridDim.y)
        EACH(i, w * c) {
            int b = i / c;
            size_t here = (size_t)row * w * c + i;
            float sum = about(row / h, row % h, b, i - b * c, h, w, c, size / 2, [&](size_t at) { return pull[at]; });
            dx[here] = dy[here] * lowered(local[here], beta) - 2.0f * rate * beta * x[here] * sum;
        }
}

// --- over any axes, in any layout: bit a of `axes` tells that axis a is one of them ---

// The sum of f(where) over the neighbours of an element that are in the array.
template <class F> INLINE float over(const View &view, int axes, int size, int i, F f) {
    int at[8], low[8], high[8], half = size / 2, rest = i;
    for (int axis = view.rank - 1; axis >= 0; axis--) {
        at[axis] = rest % view.size[axis];
        rest /= view.size[axis];
        bool wide = axes >> axis & 1;
        low[axis] = wide ? greater(at[axis] - half, 0) : at[axis];
        high[axis] = wide ? lesser(at[axis] - half + size, view.size[axis]) : at[axis] + 1;
        at[axis] = low[axis];
    }
    float sum = 0.0f;
    for (bool more = true; more;) {
        int where = 0;
        for (int axis = 0; axis < view.rank; axis++) where += at[axis] * view.step[axis];
        sum += f(where);
        more = false;
        for (int axis = view.rank - 1; axis >= 0 && !more; axis--) {
            more = ++at[axis] < high[axis];
            if (!more) at[axis] = low[axis];
        }
    }
    return sum;
}

KERNEL lrn(const real *x, float *local, real *y, View view, int axes, int size, float rate, float beta, float offset,
           int count) {
    EACH(i, count) {
        int here = place(view, i);
        float l = offset + rate * over(view, axes, size, i, [&](int at) { return x[at] * x[at]; });
        local[here] = l;
        y[here] = x[here] * lowered(l, beta);
    }
}

// pull = dy x local^(-beta - 1), which lrn_dx adds up: dx may lie where dy does
KERNEL lrn_pull(const real *x, const float *local, const real *dy, float *pull, float beta, int count) {
    EACH(i, count) pull[i] = dy[i] * lowered(local[i], beta) * x[i] / local[i];
}

KERNEL lrn_dx(const real *x, const float *local, const real *dy, const float *pull, real *dx, View view, int axes, int size,
              float rate, float beta, int count) {
    EACH(i, count) {
        int here = place(view, i);
        float sum = over(view, axes, size, i, [&](int at) { return pull[at]; });
        dx[here] = dy[here] * lowered(local[here], beta) - 2.0f * rate * beta * x[here] * sum;
    }
}
