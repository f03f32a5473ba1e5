// What comparing several ways of one product needs: numbers to work on, and how far two results are apart.

// x[i] = a number between -1/2 and 1/2, of the stream `seed`
KERNEL noise(float *x, u32 seed, int count) {
    EACH(i, count) x[i] = (philox(seed, 0, 0, i) >> 8) / 16777216.0f - 0.5f;
}

// apart[0, block] = most of |x - right|, apart[1, block] = most of |right|; a number is as far from none as can be
BLOCK_KERNEL differ(const float *x, const float *right, float *apart, int count) {
    float most = 0.0f, largest = 0.0f;
    EACH(i, count) {
        bool is_number = right[i] == right[i];
        if (is_number != (x[i] == x[i]))
            most = LARGEST;
        else if (is_number) {
            most = maximum(most, fabsf(x[i] - right[i]));
            largest = maximum(largest, fabsf(right[i]));
        }
    }
    most = block_max(most);
    largest = block_max(largest);
    if (threadIdx.x == 0) {
        apart[blockIdx.x] = most;
        apart[gridDim.x + blockIdx.x] = largest;
    }
}
