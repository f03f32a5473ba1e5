// What comparing several ways of one product needs: numbers to work on, and how far two results are apart.

// x[i] = a number between -1/2 and 1/2, of the stream `seed`
KERNEL noise(real *x, u32 seed, int count) {
    EACH(i, count) x[i] = (philox(seed, 0, 0, i) >> 8) / 16777216.0f - 0.5f;
}

// apart[0, block] = most of |x - right|, a number where right is none being as far off as can be;   apart[1, block] = most of |right|
// apart[2, block] = how many x are no numbers where right is one
BLOCK_KERNEL differ(const real *x, const real *right, float *apart, int count) {
    float most = 0.0f, largest = 0.0f, strays = 0.0f;
    EACH(i, count) {
        if (right[i] != right[i])
            most = x[i] == x[i] ? LARGEST : most;
        else {
            largest = maximum(largest, fabsf(right[i]));
            if (x[i] == x[i])
                most = maximum(most, fabsf(x[i] - right[i]));
            else
                strays += 1.0f;
        }
    }
    most = block_max(most);
    largest = block_max(largest);
    strays = block_sum(strays);
    if (threadIdx.x == 0) {
        apart[blockIdx.x] = most;
        apart[gridDim.x + blockIdx.x] = largest;
        apart[2 * gridDim.x + blockIdx.x] = strays;
    }
}
