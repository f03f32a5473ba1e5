// Windows over any number of spatial axes, tied or untied filters, any layout: an element a thread, found through views.
// geometry: for each spatial axis kernel, stride, pad, dilation.   taps: how many elements a window has.

// The place of an image that tap t of window p meets, in elements of its view; -1 outside.   Axes 2 .. are spatial.
INLINE int met(const View &image, const View &windows, const int *geometry, int p, int t) {
    int at = 0;
    for (int axis = windows.rank - 1; axis > 1; axis--) {
        const int *g = geometry + 4 * (axis - 2);
        int i = p % windows.size[axis] * g[1] - g[2] + t % g[0] * g[3];
        if (i < 0 || i >= image.size[axis]) return -1;
        at += i * image.step[axis];
        p /= windows.size[axis];
        t /= g[0];
    }
    return at;
}

// The window whose tap t is at place p of the image: in elements of the windows' view, its number in `number`; -1 if there is none.
INLINE int meeting(const View &image, const View &windows, const int *geometry, int p, int t, int &number) {
    int at = 0, step = 1;
    number = 0;
    for (int axis = windows.rank - 1; axis > 1; axis--) {
        const int *g = geometry + 4 * (axis - 2);
        int i = p % image.size[axis] + g[2] - t % g[0] * g[3];
        if (i < 0 || i % g[1] || i / g[1] >= windows.size[axis]) return -1;
        at += i / g[1] * windows.step[axis];
        number += i / g[1] * step;
        step *= windows.size[axis];
        p /= image.size[axis];
        t /= g[0];
    }
    return at;
}

// y[n, o, p] = sum over c, t of x[n, c, p at t] w[o, c, t] + b[o];   untied: w[o P + p, c, t] and b[o, p], P the number of places
KERNEL conv(const real *x, const real *w, const float *b, real *y, View xs, View ws, View bs, View ys, const int *geometry,
            int taps, int groups, int places, int untied, int count) {
    EACH(i, count) {
        int p = i % places, o = i / places % ys.size[1], n = i / places / ys.size[1], depth = ws.size[1];
        int first_c = o / (ys.size[1] / groups) * depth, row = untied ? o * places + p : o;
        float sum = 0.0f;
        for (int t = 0; t < taps; t++) {
            int at = met(xs, ys, geometry, p, t);
            for (int c = 0; c < depth && at >= 0; c++)
                sum += x[n * xs.step[0] + (first_c + c) * xs.step[1] + at] * w[place(ws, (row * depth + c) * taps + t)];
        }
        y[place(ys, i)] = sum + (b ? b[place(bs, row)] : 0.0f);
    }
}

// dx[n, c, p] = sum over o, t of dy[n, o, the window whose tap t is at p] w[o, c, t]
KERNEL conv_dx(const real *w, const real *dy, real *dx, View ws, View ys, View xs, const int *geometry, int taps, int groups,
               int places, int windows, int untied, int count) {
    EACH(i, count) {
        int p = i % places, c = i / places % xs.size[1], n = i / places / xs.size[1], depth = ws.size[1];
        int outs = ys.size[1] / groups, first_o = c / depth * outs, number = 0;
        float sum = 0.0f;
        for (int t = 0; t < taps; t++) {
            int at = meeting(xs, ys, geometry, p, t, number);
            for (int o = first_o; o < first_o + outs && at >= 0; o++) {
                int row = untied ? o * windows + number : o;
                sum += dy[n * ys.step[0] + o * ys.step[1] + at] * w[place(ws, (row * depth + c % depth) * taps + t)];
            }
        }
        dx[place(xs, i)] = sum;
    }
}

// sum over n, p of dy[n, o, p] x[n, c, p at t] for weight i, every `step`th term from `from` on;   untied: over n alone
template <class X, class Y>
INLINE float product(const X *x, const Y *dy, const View &xs, const View &ys, const View &ws, const int *geometry, int taps,
                     int groups, int samples, int windows, int untied, int i, int from, int step) {
    int t = i % taps, depth = ws.size[1], c = i / taps % depth, row = i / taps / depth, o = untied ? row / windows : row;
    int first = untied ? row % windows : 0, many = untied ? 1 : windows, channel = o / (ys.size[1] / groups) * depth + c;
    float sum = 0.0f;
    for (int j = from; j < samples * many; j += step) {
        int n = j / many, p = first + j % many, at = met(xs, ys, geometry, p, t);
        if (at >= 0) sum += dy[place(ys, (n * ys.size[1] + o) * windows + p)] * x[n * xs.step[0] + channel * xs.step[1] + at];
    }
    return sum;
}

// dw += product: a block for each weight
BLOCK_KERNEL conv_dw(const real *x, const real *dy, float *dw, View xs, View ys, View ws, const int *geometry, int taps,
                     int groups, int samples, int windows) {
    int i = blockIdx.x;
    float sum = product(x, dy, xs, ys, ws, geometry, taps, groups, samples, windows, 0, i, threadIdx.x, blockDim.x);
    sum = block_sum(sum);
    if (threadIdx.x == 0) dw[place(ws, i)] += sum;
}

// the same untied: a thread for each weight
KERNEL local_conv_dw(const real *x, const real *dy, float *dw, View xs, View ys, View ws, const int *geometry, int taps,
                     int groups, int samples, int windows, int count) {
    EACH(i, count)
    dw[place(ws, i)] += product(x, dy, xs, ys, ws, geometry, taps, groups, samples, windows, 1, i, 0, 1);
}

// db[o] += sum over n, p of dy[n, o, p]: a block for each
BLOCK_KERNEL conv_db(const real *dy, float *db, View ys, int samples, int windows) {
    int o = blockIdx.x;
    float sum = 0.0f;
    for (int j = threadIdx.x; j < samples * windows; j += blockDim.x)
        sum += dy[place(ys, (j / windows * ys.size[1] + o) * windows + j % windows)];
    sum = block_sum(sum);
    if (threadIdx.x == 0) db[o] += sum;
}

// db[o, p] += sum over n of dy[n, o, p]
KERNEL local_conv_db(const real *dy, float *db, View ys, View bs, int samples, int count) {
    EACH(i, count) {
        float sum = 0.0f;
        for (int n = 0; n < samples; n++) sum += dy[place(ys, n * count + i)];
        db[place(bs, i)] += sum;
    }
}

// y[n, c K + t, p] = x[n, c, p at t]
KERNEL im2col(const real *x, real *y, View xs, View ys, const int *geometry, int taps, int places, int count) {
    EACH(i, count) {
        int p = i % places, t = i / places % taps, channel = i / places / taps % xs.size[1], n = i / places / ys.size[1];
        int at = met(xs, ys, geometry, p, t);
        y[place(ys, i)] = at >= 0 ? x[n * xs.step[0] + channel * xs.step[1] + at] : 0.0f;
    }
}

// dx[n, c, p] = sum over t of dy[n, c K + t, the window whose tap t is at p]
KERNEL im2col_dx(const real *dy, real *dx, View ys, View xs, const int *geometry, int taps, int places, int count) {
    EACH(i, count) {
        int p = i % places, c = i / places % xs.size[1], n = i / places / xs.size[1], number;
        float sum = 0.0f;
        for (int t = 0; t < taps; t++) {
            int at = meeting(xs, ys, geometry, p, t, number);
            if (at >= 0) sum += dy[n * ys.step[0] + (c * taps + t) * ys.step[1] + at];
        }
        dx[place(xs, i)] = sum;
    }
}
