// Convolutions of small images or few channels: a block keeps a band of one image and a strip of the weights in shared memory,
// so that nothing is waited for while it multiplies.   All sizes are part of the text.

#ifndef OUTS // what a block makes of one image: rows of places, and channels of each, a number of fours
#define BAND 4
#define OUTS 8
#define HEIGHT 8 // of x
#define WIDTH 8
#define CHANNELS 3
#define Y_HEIGHT 8
#define Y_WIDTH 8
#define Y_CHANNELS 8
#define HIGH 3 // taps
#define LONG 3
#define STEP_HIGH 1
#define STEP_WIDE 1
#define PAD_HIGH 1
#define PAD_WIDE 1
#define APART_HIGH 1
#define APART_WIDE 1
#define TURNED false
#endif
#ifndef FINISH
#define FINISH(value) (value)
#endif
#define THREADS 128
#define FOURS (OUTS / 4)
#define PLACES (THREADS / FOURS) // that are worked on at once, four times
#define SEEN_HIGH ((BAND - 1) * STEP_HIGH + (HIGH - 1) * APART_HIGH + 1)
#define SEEN_WIDE ((Y_WIDTH - 1) * STEP_WIDE + (LONG - 1) * APART_WIDE + 1)
#define DEPTH (HIGH * LONG * CHANNELS)

struct alignas(16) Kept {
    float weights[DEPTH][OUTS];
    float image[SEEN_HIGH * SEEN_WIDE * CHANNELS];
};

// y = conv(x, w) + bias, finished;   turned, y = conv_dx(w, x) of stride 1, a convolution with the taps in reverse
BLOCK_KERNEL direct(const real *x, const real *w, const float *bias, real *y) {
    __shared__ Kept kept;
    int n = blockIdx.x, top = blockIdx.y * BAND, side = blockIdx.z * OUTS, me = threadIdx.x;
    for (int i = me; i < SEEN_HIGH * SEEN_WIDE * CHANNELS; i += THREADS) {
        int h = top * STEP_HIGH - PAD_HIGH + i / (SEEN_WIDE * CHANNELS), l = i / CHANNELS % SEEN_WIDE - PAD_WIDE;
        bool inside = (unsigned)h < HEIGHT && (unsigned)l < WIDTH;
        kept.image[i] = inside ? x[((size_t)(n * HEIGHT + h) * WIDTH + l) * CHANNELS + i % CHANNELS] : 0.0f;
    }
    for (int i = me; i < DEPTH * OUTS; i += THREADS) {
        int o = TURNED ? i % OUTS : i / DEPTH, k = TURNED ? i / OUTS : i % DEPTH;
        int mirrored = (HIGH * LONG - 1 - k / CHANNELS) * Y_CHANNELS + k % CHANNELS * HIGH * LONG * Y_CHANNELS;
        int at = TURNED ? mirrored + side + o : (side + o) * DEPTH + k;
        kept.weights[k][o] = side + o < Y_CHANNELS ? w[at] : 0.0f;
    }
    __syncthreads();
    int mine = me % FOURS * 4;
    for (int from = me / FOURS; from < BAND * Y_WIDTH && me < PLACES * FOURS; from += 4 * PLACES) {
        float sum[4][4] = {};
        int start[4];
        for (int j = 0; j < 4; j++) {
            int place = lesser(from + j * PLACES, BAND * Y_WIDTH - 1);
            start[j] = (place / Y_WIDTH * STEP_HIGH * SEEN_WIDE + place % Y_WIDTH * STEP_WIDE) * CHANNELS;
        }
        for (int r = 0; r < HIGH; r++)
            for (int s = 0; s < LONG; s++)
                for (int c = 0; c < CHANNELS; c++) {
                    int on = (r * APART_HIGH * SEEN_WIDE + s * APART_WIDE) * CHANNELS + c;
                    float4 b = *(const float4 *)&kept.weights[(r * LONG + s) * CHANNELS + c][mine];
                    #pragma unroll
                    for (int j = 0; j < 4; j++) {
                        float a = kept.image[start[j] + on];
                        sum[j][0] += a * b.x;
                        sum[j][1] += a * b.y;
                        sum[j][2] += a * b.z;
                        sum[j][3] += a * b.w;
                    }
                }
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            int place = from + j * PLACES, p = top + place / Y_WIDTH;
            if (place >= BAND * Y_WIDTH || p >= Y_HEIGHT) continue;
            auto to = y + ((size_t)(n * Y_HEIGHT + p) * Y_WIDTH + place % Y_WIDTH) * Y_CHANNELS + side + mine;
            #pragma unroll
            for (int i = 0; i < 4; i++)
                if (side + mine + i < Y_CHANNELS) to[i] = FINISH(sum[j][i] + (bias ? bias[side + mine + i] : 0.0f));
        }
    }
}
