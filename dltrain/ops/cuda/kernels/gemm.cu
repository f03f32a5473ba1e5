// Matrix products in float32: a block makes a tile of 64 x 64, each of its 256 threads 4 x 4 of it, from tiles in shared memory.

#define TILE 64
#define DEPTH 16

// c[m, n] = sum over k of a[m, k] b[k, n] (+ bias[n]), or added to what is there; a and b by their steps, c row by row
BLOCK_KERNEL gemm(const float *a, const float *b, float *c, const float *bias, int a_batch, int a_row, int a_column, int b_batch,
                  int b_row, int b_column, int m, int n, int k, int add) {
    __shared__ float left[DEPTH][TILE + 4], right[DEPTH][TILE + 4];
    a += (size_t)blockIdx.z * a_batch;
    b += (size_t)blockIdx.z * b_batch;
    c += (size_t)blockIdx.z * m * n;
    int top = blockIdx.y * TILE, side = blockIdx.x * TILE, me = threadIdx.x, row = me / 16 * 4, column = me % 16 * 4;
    float sum[4][4] = {};
    for (int from = 0; from < k; from += DEPTH) {
        for (int at = me; at < TILE * DEPTH; at += 256) {
            // neighbouring threads read neighbouring memory, whichever way the matrix lies
            int d = a_column == 1 ? at % DEPTH : at / TILE, i = a_column == 1 ? at / DEPTH : at % TILE;
            left[d][i] = top + i < m && from + d < k ? a[(size_t)(top + i) * a_row + (size_t)(from + d) * a_column] : 0.0f;
            d = b_row == 1 ? at % DEPTH : at / TILE;
            i = b_row == 1 ? at / DEPTH : at % TILE;
            right[d][i] = side + i < n && from + d < k ? b[(size_t)(from + d) * b_row + (size_t)(side + i) * b_column] : 0.0f;
        }
        __syncthreads();
        for (int d = 0; d < DEPTH; d++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][j] += left[d][row + i] * right[d][column + j];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            int y = top + row + i, x = side + column + j;
            if (y >= m || x >= n) continue;
            float *place = c + (size_t)y * n + x;
            float made = sum[i][j] + (bias ? bias[x] : 0.0f);
            *place = add ? *place + made : made;
        }
}

// y[column] += sum over rows: 32 columns a block, 8 threads down each
BLOCK_KERNEL column_sums(const float *x, float *y, int rows, int columns) {
    __shared__ float parts[8][32];
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    if (column < columns)
        for (int row = threadIdx.y; row < rows; row += 8) sum += x[(size_t)row * columns + column];
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (int part = 1; part < 8; part++) sum += parts[part][threadIdx.x];
        y[column] += sum;
    }
}
