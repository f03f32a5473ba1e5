// Convolutions of each channel by itself, channels-last: neighbouring threads are neighbouring channels.

#ifndef HIGH // taps
#define HIGH 3
#define LONG 3
#endif
#ifndef FINISH
#define FINISH(value) (value)
#endif

// y[n, p, q, o] = sum over taps of x[n, p step + tap, o / many] w[o, tap] + b[o], each channel of x being seen by `many` outputs
KERNEL depthwise(const real *x, const real *w, const float *b, real *y, int height, int width, int outs, int many,
                 int y_height, int y_width, int step_high, int step_wide, int pad_high, int pad_wide, int apart_high,
                 int apart_wide, int count) {
    int channels = outs / many;
    EACH(i, count) {
        int o = i % outs, place = i / outs, q = place % y_width, p = place / y_width % y_height, n = place / y_width / y_height;
        auto from = x + (size_t)n * height * width * channels + o / many;
        auto taps = w + (size_t)o * HIGH * LONG;
        float sum = b ? b[o] : 0.0f;
        #pragma unroll
        for (int r = 0; r < HIGH; r++) {
            int h = p * step_high - pad_high + r * apart_high;
            #pragma unroll
            for (int s = 0; s < LONG; s++) {
                int l = q * step_wide - pad_wide + s * apart_wide;
                if ((unsigned)h < (unsigned)height && (unsigned)l < (unsigned)width)
                    sum += from[(size_t)(h * width + l) * channels] * taps[r * LONG + s];
            }
        }
        y[i] = FINISH(sum);
    }
}

// dx[n, h, l, c] = sum over taps, outputs o of c, of dy[n, the window whose tap is at h, l, o] w[o, tap]
KERNEL depthwise_dx(const real *w, const real *dy, real *dx, int height, int width, int outs, int many, int y_height,
                    int y_width, int step_high, int step_wide, int pad_high, int pad_wide, int apart_high, int apart_wide,
                    int count) {
    int channels = outs / many;
    EACH(i, count) {
        int c = i % channels, place = i / channels, l = place % width, h = place / width % height, n = place / width / height;
        auto from = dy + (size_t)n * y_height * y_width * outs + c * many;
        auto taps = w + (size_t)c * many * HIGH * LONG;
        float sum = 0.0f;
        #pragma unroll
        for (int r = 0; r < HIGH; r++) {
            int p = h + pad_high - r * apart_high;
            if (p < 0 || p % step_high || p / step_high >= y_height) continue;
            #pragma unroll
            for (int s = 0; s < LONG; s++) {
                int q = l + pad_wide - s * apart_wide;
                if (q < 0 || q % step_wide || q / step_wide >= y_width) continue;
                size_t at = (size_t)(p / step_high * y_width + q / step_wide) * outs;
                for (int o = 0; o < many; o++) sum += from[at + o] * taps[(o * HIGH + r) * LONG + s];
            }
        }
        dx[i] = sum;
    }
}

// A part of dw[o, tap] = sum over places of dy[place, o] x[place at tap, o / many], and of db[o] = sum of dy behind all of dw.
// A block does 32 channels of the places first, first + gridDim.y 8, …, 8 threads down.
BLOCK_KERNEL depthwise_dw(const real *x, const real *dy, float *parts, int places, int height, int width, int outs, int many,
                          int y_height, int y_width, int step_high, int step_wide, int pad_high, int pad_wide, int apart_high,
                          int apart_wide, int bias) {
    __shared__ float sums[8][32];
    int o = blockIdx.x * 32 + threadIdx.x, channels = outs / many;
    float made[HIGH * LONG + 1] = {};
    for (int place = blockIdx.y * 8 + threadIdx.y; place < places && o < outs; place += gridDim.y * 8) {
        int q = place % y_width, p = place / y_width % y_height, n = place / y_width / y_height;
        auto from = x + (size_t)n * height * width * channels + o / many;
        float slope = dy[(size_t)place * outs + o];
        #pragma unroll
        for (int r = 0; r < HIGH; r++) {
            int h = p * step_high - pad_high + r * apart_high;
            #pragma unroll
            for (int s = 0; s < LONG; s++) {
                int l = q * step_wide - pad_wide + s * apart_wide;
                if ((unsigned)h < (unsigned)height && (unsigned)l < (unsigned)width)
                    made[r * LONG + s] += slope * from[(size_t)(h * width + l) * channels];
            }
        }
        made[HIGH * LONG] += slope;
    }
    parts += (size_t)blockIdx.y * (outs * HIGH * LONG + (bias ? outs : 0));
    #pragma unroll
    for (int t = 0; t <= HIGH * LONG; t++) {
        sums[threadIdx.y][threadIdx.x] = made[t];
        __syncthreads();
        if (threadIdx.y == 0 && o < outs && (t < HIGH * LONG || bias)) {
            float sum = made[t];
            for (int row = 1; row < 8; row++) sum += sums[row][threadIdx.x];
            parts[t < HIGH * LONG ? o * HIGH * LONG + t : outs * HIGH * LONG + o] = sum;
        }
        __syncthreads();
    }
}
