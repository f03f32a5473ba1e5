// Max, mean and sum pooling of images, channels innermost: a row of the grid is a row of places, its threads run along it.

// The first and the last window that hold a place; how many rows (or columns) a window covers of the padded image.

INLINE int from(int at, int pad, int kernel, int stride) {
    int past = at + pad - kernel;
    return past < 0 ? 0 : past / stride + 1;
}

INLINE int upto(int at, int pad, int stride, int outputs) { return lesser((at + pad) / stride, outputs - 1); }

INLINE int covered(int start, int kernel, int size, int pad) { return lesser(start + kernel, size + pad) - start; }

template <int KH, int KW, class T> INLINE void best_of(const T *x, int row, int column, float &most, int &who) {
    float seen[KH * KW];
    for (int i = 0; i < KH * KW; i++) seen[i] = x[i / KW * row + i % KW * column];
    for (int i = 0; i < KH * KW; i++)
        if (seen[i] > most) most = seen[i], who = i;
    most = most > -INFINITY ? most : seen[0];
}

// y = max of x over each window; winner = its place in the plane, the first of equals; a number beats NaN
KERNEL max_pool_image(const real *x, real *y, int *winner, int n, int h, int w, int c, int ph, int pw, int kh, int kw, int sh,
                      int sw, int top, int left) {
    for (int row = blockIdx.y; row < n * ph; row += gridDim.y) {
        int sample = row / ph, h0 = (row - sample * ph) * sh - top, h1 = lesser(h0 + kh, h);
        h0 = greater(h0, 0);
        EACH(i, pw * c) {
            int place = i / c, w0 = place * sw - left, w1 = lesser(w0 + kw, w);
            w0 = greater(w0, 0);
            auto seen = x + ((size_t)(sample * h + h0) * w + w0) * c + (i - place * c);
            float most = -INFINITY;
            int who = 0, begin = h0 * w + w0;
            if (h1 - h0 == 2 && w1 - w0 == 2) {
                best_of<2, 2>(seen, w * c, c, most, who);
                who = begin + who / 2 * w + who % 2;
            } else if (h1 - h0 == 3 && w1 - w0 == 3) {
                best_of<3, 3>(seen, w * c, c, most, who);
                who = begin + who / 3 * w + who % 3;
            } else if (h1 > h0 && w1 > w0) {
                who = begin;
                for (int a = 0; a < h1 - h0; a++)
                    for (int b = 0; b < w1 - w0; b++) {
                        float v = seen[(a * w + b) * c];
                        if (v > most) most = v, who = begin + a * w + b;
                    }
                most = most > -INFINITY ? most : seen[0];
            } else
                most = -LARGEST, who = -1;
            size_t to = (size_t)row * pw * c + i;
            y[to] = most;
            winner[to] = who;
        }
    }
}

// dx = sum of dy over the windows whose winner this place is
KERNEL max_pool_dx_image(const real *dy, const int *winner, real *dx, int n, int h, int w, int c, int ph, int pw, int kh,
                         int kw, int sh, int sw, int top, int left) {
    for (int row = blockIdx.y; row < n * h; row += gridDim.y) {
        int sample = row / h, a = row - sample * h, a0 = from(a, top, kh, sh), a1 = upto(a, top, sh, ph);
        EACH(i, w * c) {
            int b = i / c, b0 = from(b, left, kw, sw), b1 = upto(b, left, sw, pw);
            size_t plane = (size_t)sample * ph * pw * c + (i - b * c);
            float sum = 0.0f;
            for (int p = a0; p <= a1; p++)
                for (int q = b0; q <= b1; q++) {
                    size_t at = plane + (size_t)(p * pw + q) * c;
                    if (winner[at] == a * w + b) sum += dy[at];
                }
            dx[(size_t)row * w * c + i] = sum;
        }
    }
}

// y = sum of x over each window; mean: / its size within the padded image
KERNEL sum_pool_image(const real *x, real *y, int n, int h, int w, int c, int ph, int pw, int kh, int kw, int sh, int sw,
                      int top, int left, int mean) {
    for (int row = blockIdx.y; row < n * ph; row += gridDim.y) {
        int sample = row / ph, h0 = (row - sample * ph) * sh - top, area = covered(h0, kh, h, top), h1 = lesser(h0 + kh, h);
        h0 = greater(h0, 0);
        EACH(i, pw * c) {
            int place = i / c, w0 = place * sw - left, all = area * covered(w0, kw, w, left), w1 = lesser(w0 + kw, w);
            w0 = greater(w0, 0);
            auto seen = x + (size_t)sample * h * w * c + (i - place * c);
            float sum = 0.0f;
            for (int a = h0; a < h1; a++)
                for (int b = w0; b < w1; b++) sum += seen[(size_t)(a * w + b) * c];
            y[(size_t)row * pw * c + i] = mean ? sum / greater(all, 1) : sum;
        }
    }
}

// dx = sum of dy over the windows that hold this place; mean: of dy / their sizes
KERNEL sum_pool_dx_image(const real *dy, real *dx, int n, int h, int w, int c, int ph, int pw, int kh, int kw, int sh, int sw,
                         int top, int left, int mean) {
    for (int row = blockIdx.y; row < n * h; row += gridDim.y) {
        int sample = row / h, a = row - sample * h, a0 = from(a, top, kh, sh), a1 = upto(a, top, sh, ph);
        EACH(i, w * c) {
            int b = i / c, b0 = from(b, left, kw, sw), b1 = upto(b, left, sw, pw);
            auto seen = dy + (size_t)sample * ph * pw * c + (i - b * c);
            float sum = 0.0f;
            for (int p = a0; p <= a1; p++)
                for (int q = b0; q <= b1; q++) {
                    int all = covered(p * sh - top, kh, h, top) * covered(q * sw - left, kw, w, left);
                    float v = seen[(size_t)(p * pw + q) * c];
                    sum += mean ? v / greater(all, 1) : v;
                }
            dx[(size_t)row * w * c + i] = sum;
        }
    }
}
