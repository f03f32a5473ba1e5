// Softmax and the losses over classes: a line of classes for each place, a team of threads for each line.

#include "teams.cuh"

struct Spot {
    int lane, line, at, k; // my place in the team, my line, where it begins in memory, its label
    bool live, known;      // there is such a line; its label is a class, or does not count
    float w;               // what the line weighs
};

// The most of a line, and the sum of exp(x - most).
template <class T> INLINE void soften(const T *a, int lane, int step, int classes, int team, float &top, float &sum) {
    top = -INFINITY, sum = 0.0f;
    for (int c = lane; c < classes; c += team) top = maximum(a[c * step], top);
    top = together<false>(top, team);
    for (int c = lane; c < classes; c += team) sum += expf(a[c * step] - top);
    sum = together<true>(sum, team);
}

// y = exp(x - max x) / sum of exp(x - max x);   logarithms: y = x - max x - log(that sum)
BLOCK_KERNEL softmax(const real *x, real *y, View lines, int step, int classes, int logarithms, int count, int team) {
    int line = first() / team, lane = lane_of(team), stop = line < count ? classes : 0;
    int at = place(lines, line < count ? line : 0);
    float top, sum;
    soften(x + at, lane, step, stop, team, top, sum);
    float log_sum = logf(sum);
    for (int c = lane; c < stop; c += team) {
        float moved = x[at + c * step] - top;
        y[at + c * step] = logarithms ? moved - log_sum : expf(moved) / sum;
    }
}

// dx = (dy - sum of dy y) y;   logarithms: dx = dy - exp(y) sum of dy
BLOCK_KERNEL softmax_dx(const real *y, const real *dy, real *dx, View lines, int step, int classes, int logarithms, int count,
                        int team) {
    int line = first() / team, lane = lane_of(team), stop = line < count ? classes : 0;
    int at = place(lines, line < count ? line : 0);
    float sum = 0.0f;
    for (int c = lane; c < stop; c += team) sum += logarithms ? (float)dy[at + c * step] : dy[at + c * step] * y[at + c * step];
    sum = together<true>(sum, team);
    for (int c = lane; c < stop; c += team) {
        int here = at + c * step;
        dx[here] = logarithms ? dy[here] - expf(y[here]) * sum : (dy[here] - sum) * y[here];
    }
}

// --- losses: of what is wanted of each class, t, by `kind` ---
#define ONE 0    // t = 1 for the label, and the rest is smoothed: (1 - smoothing) 1[label] + smoothing / classes
#define FOCAL 1  // as ONE, but a place costs (1 - p)^gamma as much
#define TABLE 2  // t = the label's row of a table
#define SOFT 3   // t = (1 - smoothing) target + smoothing mean of target

INLINE Spot spot(const int *label, const float *weight, const View &lines, const View &labels, const View &weights, int per,
                 int classes, int ignores, int ignore, int count, int team) {
    Spot me;
    me.lane = lane_of(team), me.line = first() / team, me.live = me.line < count;
    int line = me.live ? me.line : 0;
    me.at = place(lines, line);
    me.k = label ? label[place(labels, line)] : 0;
    me.w = (ignores && me.k == ignore ? 0.0f : 1.0f) * (weight ? weight[place(weights, line / per)] : 1.0f);
    if (me.w == 0.0f) me.k = 0;
    me.known = me.k >= 0 && me.k < classes;
    if (!me.known) me.k = 0;
    return me;
}

template <class T> INLINE float wanted(int kind, const T *target, const View &table, const Spot &me, int c, int step,
                                       int classes, float smoothing, float mean) {
    if (kind == TABLE) return target[place(table, me.k * classes + c)];
    if (kind == SOFT) return target[me.at + c * step] * (1.0f - smoothing) + mean * smoothing;
    return (c == me.k ? 1.0f - smoothing : 0.0f) + smoothing / classes;
}

template <class T> INLINE float mean_target(int kind, const T *target, const Spot &me, int step, int classes, float smoothing,
                                            int team) {
    float sum = 0.0f;
    if (kind != SOFT || smoothing == 0.0f) return sum;
    for (int c = me.lane; c < classes && me.live; c += team) sum += target[me.at + c * step];
    return together<true>(sum, team) / classes;
}

INLINE float share(const float *dy, const float *z) { return z[0] != 0.0f ? dy[0] / z[0] : dy[0] * 0.0f; }

// prob = softmax of x;   loss = -weight sum of t log max(prob, least);   `number` is the smoothing, or gamma
BLOCK_KERNEL class_loss(const real *x, const int *label, const real *target, const float *weight, float *prob, float *loss,
                        View lines, View labels, View weights, View table, int per, int step, int classes, int ignores,
                        int ignore, int kind, float number, float least, int count, int team) {
    Spot me = spot(label, weight, lines, labels, weights, per, classes, ignores, ignore, count, team);
    int stop = me.live ? classes : 0;
    float top, sum, cost = 0.0f, smoothing = kind == FOCAL ? 0.0f : number;
    bool all = kind == TABLE || kind == SOFT || smoothing > 0.0f;
    soften(x + me.at, me.lane, step, stop, team, top, sum);
    float mean = mean_target(kind, target, me, step, classes, smoothing, team);
    for (int c = me.lane; c < stop; c += team) {
        float p = expf(x[me.at + c * step] - top) / sum;
        prob[me.at + c * step] = p;
        if (all) cost -= wanted(kind, target, table, me, c, step, classes, smoothing, mean) * logf(maximum(p, least));
    }
    if (all) cost = together<true>(cost, team);
    if (!me.live || me.lane > 0) return;
    if (!all) {
        float p = expf(x[me.at + me.k * step] - top) / sum;
        cost = -logf(maximum(p, least)) * (kind == FOCAL ? powf(1.0f - p, number) : 1.0f);
    }
    loss[place(labels, me.line)] = me.w == 0.0f ? 0.0f : me.known ? cost * me.w : NAN;
}

// dx = (prob sum of t - t) weight dy / z;   FOCAL: (prob - t) (1 - p)^gamma (1 - gamma p log p / (1 - p)) weight dy / z
BLOCK_KERNEL class_loss_dx(const float *prob, const int *label, const real *target, const float *weight, const float *z,
                           const float *dy, real *dx, View lines, View labels, View weights, View table, int per, int step,
                           int classes, int ignores, int ignore, int kind, float number, int count, int team) {
    Spot me = spot(label, weight, lines, labels, weights, per, classes, ignores, ignore, count, team);
    int stop = me.live ? classes : 0;
    float smoothing = kind == FOCAL ? 0.0f : number, mean = mean_target(kind, target, me, step, classes, smoothing, team);
    float rate = share(dy, z) * me.w, whole = 1.0f;
    if (kind == TABLE || kind == SOFT) {
        whole = 0.0f;
        for (int c = me.lane; c < stop; c += team) whole += wanted(kind, target, table, me, c, step, classes, smoothing, mean);
        whole = together<true>(whole, team);
    }
    if (kind == FOCAL) {
        float p = prob[me.at + me.k * step], rest = 1.0f - p;
        float ratio = rest > 0.0f ? p * logf(maximum(p, LEAST)) / rest : -1.0f; // its limit where p is 1
        rate *= powf(rest, number) * (1.0f - number * ratio);
    }
    if (!me.known) rate = NAN;
    for (int c = me.lane; c < stop; c += team) {
        int here = me.at + c * step;
        float d = prob[here] * whole - wanted(kind, target, table, me, c, step, classes, smoothing, mean);
        dx[here] = me.w == 0.0f ? 0.0f * share(dy, z) : d * rate;
    }
}

// loss = weight sum over classes of max(0, margin - d x)^p, d = 1 for the label, else -1;   p = 1, or 2: squared
BLOCK_KERNEL hinge_loss(const real *x, const int *label, const float *weight, float *loss, View lines, View labels,
                        View weights, int per, int step, int classes, int ignores, int ignore, float margin, int squared,
                        int count, int team) {
    Spot me = spot(label, weight, lines, labels, weights, per, classes, ignores, ignore, count, team);
    float sum = 0.0f;
    for (int c = me.lane; c < classes && me.live; c += team) {
        float v = x[me.at + c * step], gap = maximum(margin - (c == me.k ? v : -v), 0.0f);
        sum += squared ? gap * gap : gap;
    }
    sum = together<true>(sum, team);
    if (me.live && me.lane == 0) loss[place(labels, me.line)] = me.w == 0.0f ? 0.0f : me.known ? sum * me.w : NAN;
}

// dx = -d p max(0, margin - d x)^(p - 1) weight dy / z
KERNEL hinge_loss_dx(const real *x, const int *label, const float *weight, const float *z, const float *dy, real *dx,
                     View lines, View labels, View weights, int per, int step, int classes, int ignores, int ignore,
                     float margin, int squared, int count, int team) {
    Spot me = spot(label, weight, lines, labels, weights, per, classes, ignores, ignore, count, team);
    for (int c = me.lane; c < classes && me.live; c += team) {
        float v = x[me.at + c * step], gap = maximum(margin - (c == me.k ? v : -v), 0.0f);
        float slope = squared ? 2.0f * gap : gap > 0.0f ? 1.0f : 0.0f;
        float made = me.known ? (c == me.k ? -slope : slope) * me.w : NAN;
        dx[me.at + c * step] = (me.w == 0.0f ? 0.0f : made) * share(dy, z);
    }
}

// loss = -weight log max(x[label], least);   logarithms: -weight x[label]
KERNEL label_loss(const real *x, const int *label, const float *weight, float *loss, View lines, View labels, View weights,
                  int per, int step, int classes, int ignores, int ignore, int logarithms, float least, int count, int team) {
    Spot me = spot(label, weight, lines, labels, weights, per, classes, ignores, ignore, count, team);
    if (!me.live) return;
    float own = x[me.at + me.k * step], cost = -(logarithms ? own : logf(maximum(own, least)));
    loss[place(labels, me.line)] = me.w == 0.0f ? 0.0f : me.known ? cost * me.w : NAN;
}

// dx[label] = -weight dy / z / max(x[label], least), of logarithms -weight dy / z;   0 elsewhere
KERNEL label_loss_dx(const real *x, const int *label, const float *weight, const float *z, const float *dy, real *dx,
                     View lines, View labels, View weights, int per, int step, int classes, int ignores, int ignore,
                     int logarithms, float least, int count, int team) {
    Spot me = spot(label, weight, lines, labels, weights, per, classes, ignores, ignore, count, team);
    for (int c = me.lane; c < classes && me.live; c += team) {
        float slope = logarithms ? 1.0f : 1.0f / maximum(x[me.at + c * step], least);
        float made = c == me.k && me.w != 0.0f ? -me.w * share(dy, z) * slope : 0.0f;
        dx[me.at + c * step] = me.known ? made : NAN;
    }
}
