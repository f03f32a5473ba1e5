// Normalisation by rows, equal runs of the logical order: a team of threads for each row.

#include "teams.cuh"

#define PLAIN 0    // the logical order is that of the memory: element k of row r is number r width + k
#define GROUPED 1  // rows are groups of channels of a sample, channels innermost: element k is of place k / run, channel k % run
#define ANYWHERE 2 // by the view

// Where element k of row r lies in memory, and which scale is its own.
struct Spot {
    int at, scale;
};

// How rows lie in memory: r = sample groups + group; a group has `run` channels of `channels`, `area` places.
struct Rows {
    int way, width, run, groups, channels, area;
    int inner, scales; // element number i of x has scale number i / inner % scales; scales 0: there are none
};

INLINE Spot spot(const Rows &rows, const View &view, int r, int k) {
    int i = r * rows.width + k, at = i;
    if (rows.way == GROUPED) {
        int sample = r / rows.groups, p = k / rows.run, c = (r - sample * rows.groups) * rows.run + (k - p * rows.run);
        at = (sample * rows.area + p) * rows.channels + c;
        if (rows.scales == rows.channels && rows.inner == rows.area) return {at, c};
        i = (sample * rows.channels + c) * rows.area + p;
    } else if (rows.way == ANYWHERE)
        at = place(view, i);
    if (rows.scales == 0) return {at, 0};
    if (rows.inner == 1 && rows.scales == rows.width && rows.way == PLAIN) return {at, k};
    return {at, i / rows.inner % rows.scales};
}

// What a row is multiplied by: 1 / sqrt(variance + eps), or 1 / (sqrt(variance) + eps); 1 without a variance.
INLINE float rate_of(const float *variance, int row, float eps, int outside) {
    if (!variance) return 1.0f;
    return 1.0f / (outside ? sqrtf(variance[row]) + eps : sqrtf(variance[row] + eps));
}

// mean = mean of x;   variance (where wanted) = mean of (x - mean)^2, of each row
BLOCK_KERNEL row_moments(const real *x, float *mean, float *variance, View view, View of_mean, int way, int width, int run,
                         int groups, int channels, int area, int count, int team) {
    Rows rows = {way, width, run, groups, channels, area, 1, 0};
    int r = first() / team, lane = lane_of(team), stop = r < count ? width : 0;
    float sum = 0.0f, squares = 0.0f;
    for (int k = lane; k < stop; k += team) sum += x[spot(rows, view, r, k).at];
    float middle = together<true>(sum, team) / width;
    for (int k = lane; k < stop; k += team) {
        float d = x[spot(rows, view, r, k).at] - middle;
        squares += d * d;
    }
    squares = together<true>(squares, team) / width;
    if (lane > 0 || r >= count) return;
    mean[place(of_mean, r)] = middle;
    if (variance) variance[place(of_mean, r)] = squares;
}

// y = scale (x - mean) rate + bias; the blocks below each other share the rows
KERNEL row_norm(const real *x, const float *mean, const float *variance, const float *scale, const float *bias, real *y,
                View view, View of_mean, View of_scale, int way, int width, int run, int groups, int channels, int area,
                int inner, int scales, float eps, int outside, int count, int team) {
    Rows rows = {way, width, run, groups, channels, area, inner, scales};
    int r = first() / team;
    if (r >= count) return;
    int row = place(of_mean, r);
    float middle = mean[row], rate = rate_of(variance, row, eps, outside);
    for (int k = lane_of(team) + team * blockIdx.y; k < width; k += team * gridDim.y) {
        Spot here = spot(rows, view, r, k);
        float made = (x[here.at] - middle) * rate;
        int own = scale ? place(of_scale, here.scale) : 0;
        y[here.at] = scale ? made * scale[own] + bias[own] : made;
    }
}

// dx = (g - mean of g - n mean of g n d / d') / d,   g = scale dy, n = (x - mean) / d, 1 / d the rate,
// d' = d, but without the eps that is outside of the root
BLOCK_KERNEL row_norm_dx(const real *x, const float *mean, const float *variance, const float *scale, const real *dy,
                         real *dx, View view, View of_mean, View of_scale, int way, int width, int run, int groups,
                         int channels, int area, int inner, int scales, float eps, int outside, int count, int team) {
    Rows rows = {way, width, run, groups, channels, area, inner, scales};
    int r = first() / team, lane = lane_of(team), row = place(of_mean, r < count ? r : 0), stop = r < count ? width : 0;
    float middle = mean[row], rate = rate_of(variance, row, eps, outside), push = 0.0f, pull = 0.0f;
    for (int k = lane; k < stop; k += team) {
        Spot here = spot(rows, view, r, k);
        float g = scale ? dy[here.at] * scale[place(of_scale, here.scale)] : (float)dy[here.at];
        push += g;
        pull += g * ((x[here.at] - middle) * rate);
    }
    push = together<true>(push, team) / width;
    pull = together<true>(pull, team) / width;
    if (variance && outside) pull = variance[row] > 0.0f ? pull / (rate * sqrtf(variance[row])) : 0.0f;
    if (!variance) pull = 0.0f;
    for (int k = lane; k < stop; k += team) {
        Spot here = spot(rows, view, r, k);
        float g = scale ? dy[here.at] * scale[place(of_scale, here.scale)] : (float)dy[here.at];
        dx[here.at] = (g - push - (x[here.at] - middle) * rate * pull) * rate;
    }
}

// dscale[s] += sum of dy (x - mean) rate, dbias[s] += sum of dy, over the elements whose scale is number s: a block for each
BLOCK_KERNEL row_norm_dw(const real *x, const float *mean, const float *variance, const real *dy, float *dscale, float *dbias,
                         View view, View of_mean, View of_scale, int width, int inner, int scales, float eps, int count) {
    int s = blockIdx.x, to = place(of_scale, s);
    float along = 0.0f, total = 0.0f;
    for (int t = threadIdx.x; t < count; t += blockDim.x) {
        int o = t / inner, i = (o * scales + s) * inner + (t - o * inner), at = place(view, i), r = place(of_mean, i / width);
        total += dy[at];
        along += dy[at] * ((x[at] - mean[r]) / sqrtf(variance[r] + eps));
    }
    total = block_sum(total);
    along = block_sum(along);
    if (threadIdx.x > 0) return;
    if (dscale) dscale[to] += along;
    if (dbias) dbias[to] += total;
}

// The same where scales lie beside each other in memory, in `count` runs: parts[b, 0], parts[b, 1] = both sums over chunk b of
// these, total first; scale s of run i belongs to row i / area groups + s / run
BLOCK_KERNEL chunk_dw(const real *x, const float *mean, const float *variance, const real *dy, float *parts, View of_mean,
                      int scales, int groups, int run, int area, float eps, int chunk, int count) {
    __shared__ float totals[256], alongs[256];
    int s = blockIdx.x * blockDim.x + threadIdx.x, me = threadIdx.y * blockDim.x + threadIdx.x;
    int start = blockIdx.y * chunk, stop = lesser(start + chunk, count), group = s / run;
    float along = 0.0f, total = 0.0f;
    for (int i = start + threadIdx.y; i < stop && s < scales; i += blockDim.y) {
        int r = place(of_mean, (area == 1 ? i : i / area) * groups + group);
        size_t at = (size_t)i * scales + s;
        total += dy[at];
        along += dy[at] * ((x[at] - mean[r]) / sqrtf(variance[r] + eps));
    }
    totals[me] = total, alongs[me] = along;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) totals[me] += totals[me + half * blockDim.x], alongs[me] += alongs[me + half * blockDim.x];
    }
    if (threadIdx.y > 0 || s >= scales) return;
    parts[(size_t)2 * blockIdx.y * scales + s] = totals[me];
    parts[(size_t)(2 * blockIdx.y + 1) * scales + s] = alongs[me];
}
