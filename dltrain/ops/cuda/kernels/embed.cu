// Rows of a table, and their gradient: equal indices stand together in sorted order, so that each row is summed in a fixed order.

// y[i, j] = w[x[i], j] + b[j];   not a number where x[i] is no row
KERNEL embed(const int *x, const float *w, const float *b, real *y, View xs, View ys, int rows, int width, int count) {
    EACH(i, count) {
        int row = x[place(xs, i / width)], j = i % width;
        bool there = row >= 0 && row < rows;
        y[place(ys, i)] = there ? w[(size_t)row * width + j] + (b ? b[j] : 0.0f) : __int_as_float(0x7fc00000);
    }
}

// at[how many come before i] = i, and there sorted = x[i]: before i are all with a smaller x, and those with its own in front of it
BLOCK_KERNEL sort(const int *x, View xs, int *sorted, int *at, int count) {
    __shared__ int others[256];
    int i = first(), mine = i < count ? x[place(xs, i)] : 0, before = 0;
    for (int from = 0; from < count; from += 256) {
        int many = lesser(256, count - from);
        __syncthreads();
        if (threadIdx.x < many) others[threadIdx.x] = x[place(xs, from + threadIdx.x)];
        __syncthreads();
        for (int j = 0; j < many; j++) before += others[j] < mine || (others[j] == mine && from + j < i);
    }
    if (i < count) {
        at[before] = i;
        sorted[before] = mine;
    }
}

// dw[k] += sum of dy where x = k: a block of 32 columns for each place in the order where a new k begins, 8 threads down each
BLOCK_KERNEL embed_dw(const int *sorted, const int *at, const real *dy, float *dw, View ys, int rows, int width, int count) {
    __shared__ float parts[8][32];
    int begin = blockIdx.x, k = sorted[begin], column = blockIdx.y * 32 + threadIdx.x;
    if ((begin > 0 && sorted[begin - 1] == k) || k < 0 || k >= rows) return;
    float sum = 0.0f;
    for (int i = begin + threadIdx.y; i < count && sorted[i] == k; i += 8)
        if (column < width) sum += dy[place(ys, at[i] * width + column)];
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
    for (int part = 1; part < 8; part++) sum += parts[part][threadIdx.x];
    dw[(size_t)k * width + column] += sum;
}

// db[j] += sum over i of dy[i, j]: 32 columns a block, 8 threads down each
BLOCK_KERNEL embed_db(const real *dy, float *db, View ys, int width, int count) {
    __shared__ float parts[8][32];
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    for (int i = threadIdx.y; i < count && column < width; i += 8) sum += dy[place(ys, i * width + column)];
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
    for (int part = 1; part < 8; part++) sum += parts[part][threadIdx.x];
    db[column] += sum;
}
