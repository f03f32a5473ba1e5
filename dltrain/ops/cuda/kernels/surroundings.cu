// Places compared with their surroundings: weighted means over all maps and a window, an axis after the other, in planes.
// Places are counted in logical order; a plane holds the places of one sample, `size` of them.

INLINE float divided(float x, float by) { return by > 0.0f ? x / by : 0.0f; }

// mean[place] = mean of x (squares: of x^2) over the maps;   maps: View of x with the maps behind the places
KERNEL map_means(const real *x, float *mean, View maps, int channels, int squares, int count) {
    EACH(i, count) {
        float sum = 0.0f;
        for (int c = 0; c < channels; c++) {
            float v = x[place(maps, i * channels + c)];
            sum += squares ? v * v : v;
        }
        mean[i] = sum / channels;
    }
}

// y = weights x along an axis of `length` places, `inner` apart;   back: the transpose;   only those `half` away at most count
KERNEL blend(const float *x, const float *weights, float *y, int length, int inner, int half, int back, int count) {
    EACH(i, count) {
        int at = i / inner % length, low = greater(at - half, 0), high = lesser(at + half, length - 1);
        float sum = 0.0f;
        for (int j = low; j <= high; j++) sum += x[i + (j - at) * inner] * weights[back ? j * length + at : at * length + j];
        y[i] = sum;
    }
}

// y = x - mean of its place
KERNEL subtract(const real *x, const float *mean, real *y, View maps, int channels, int count) {
    EACH(i, count) {
        int at = place(maps, i);
        y[at] = x[at] - mean[i / channels];
    }
}

// deviation = sqrt(mean);   middle[sample] = mean of it over the sample
BLOCK_KERNEL deviations(const float *mean, float *deviation, float *middle, int size) {
    float sum = 0.0f;
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
        float d = sqrtf(mean[blockIdx.x * size + i]);
        deviation[blockIdx.x * size + i] = d;
        sum += d;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) middle[blockIdx.x] = sum / size;
}

// middle[sample] = mean of deviation over the sample
BLOCK_KERNEL middles(const float *deviation, float *middle, int size) {
    float sum = 0.0f;
    for (int i = threadIdx.x; i < size; i += blockDim.x) sum += deviation[blockIdx.x * size + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) middle[blockIdx.x] = sum / size;
}

// y = x / max(deviation, middle), 0 where that is 0
KERNEL divide(const real *x, const float *deviation, const float *middle, real *y, View maps, int channels, int size,
              int count) {
    EACH(i, count) {
        int at = place(maps, i), to = i / channels;
        y[at] = divided(x[at], maximum(deviation[to], middle[to / size]));
    }
}

// pull[place] = e where the deviation is the divisor;   shared[sample] = sum of e where the middle is;   e = -sum of dy x / d^2
BLOCK_KERNEL pulls(const real *x, const real *dy, const float *deviation, const float *middle, float *pull, float *shared,
                   View maps, int channels, int size) {
    float rest = 0.0f, least = middle[blockIdx.x];
    for (int i = blockIdx.x * size + threadIdx.x; i < (blockIdx.x + 1) * size; i += blockDim.x) {
        float share = divided(1.0f, maximum(deviation[i], least)), e = 0.0f;
        for (int c = 0; c < channels; c++) {
            int at = place(maps, i * channels + c);
            e -= dy[at] * x[at] * share * share;
        }
        bool own = deviation[i] >= least;
        pull[i] = own ? e : 0.0f;
        rest += own ? 0.0f : e;
    }
    rest = block_sum(rest);
    if (threadIdx.x == 0) shared[blockIdx.x] = rest / size;
}

// pull <- (pull + shared) / deviation, 0 where that is 0
KERNEL spread(float *pull, const float *shared, const float *deviation, int size, int count) {
    EACH(i, count) pull[i] = divided(pull[i] + shared[i / size], deviation[i]);
}

// dx = dy / d + x pull / channels
KERNEL divide_dx(const real *x, const real *dy, const float *deviation, const float *middle, const float *pull, real *dx,
                 View maps, int channels, int size, int count) {
    EACH(i, count) {
        int at = place(maps, i), to = i / channels;
        float share = divided(1.0f, maximum(deviation[to], middle[to / size]));
        dx[at] = dy[at] * share + x[at] * pull[to] / channels;
    }
}
