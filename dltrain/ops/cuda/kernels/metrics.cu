// Counts behind the metrics: first a bin and a weight for each place, then the sums of the bins, in a fixed order.

INLINE float weigh(const int *label, const float *weight, int at, int of_weight, int ignore) {
    return label[at] == ignore ? 0.0f : weight ? weight[of_weight] : 1.0f;
}

// The class of the largest score; of equal ones the last.
template <class T> INLINE int best(const T *x, const View &line, int classes) {
    int who = 0;
    float most = x[0];
    for (int c = 1; c < classes; c++) {
        float value = x[place(line, c)];
        if (value >= most || value != value) {
            most = value;
            who = c;
        }
    }
    return who;
}

// hit = weight where fewer than `top` other classes score at least as high as the label's, else 0
KERNEL hits(const real *x, const int *label, const float *weight, View of_label, View of_weight, int ignore, float *hit,
            View lines, View line, View of_hit, int classes, int top, int count) {
    EACH(i, count) {
        int at = place(of_label, i), rivals = -1;
        float w = weigh(label, weight, at, place(of_weight, i), ignore);
        auto scores = x + place(lines, i);
        float own = scores[place(line, w != 0.0f ? label[at] : 0)];
        for (int c = 0; c < classes; c++) rivals += !(scores[place(line, c)] < own);
        hit[place(of_hit, i)] = rivals < top ? w : 0.0f;
    }
}

KERNEL confusion(const real *x, const int *label, const float *weight, View of_label, View of_weight, int ignore, int *bins,
                 float *weights, View lines, View line, int classes, int count) {
    EACH(i, count) {
        int at = place(of_label, i);
        float w = weigh(label, weight, at, place(of_weight, i), ignore);
        bins[i] = w != 0.0f ? label[at] * classes + best(x + place(lines, i), line, classes) : -1;
        weights[i] = w;
    }
}

// Of each place: the class in which it counts as right (which = 0), predicted (1) or true (2).
KERNEL best_counts(const real *x, const int *label, const float *weight, View of_label, View of_weight, int ignore, int *bins,
                   float *weights, View lines, View line, int classes, int which, int chosen, int count) {
    EACH(i, count) {
        int at = place(of_label, i), said = best(x + place(lines, i), line, classes);
        float w = weigh(label, weight, at, place(of_weight, i), ignore);
        int of = which == 1 ? said : label[at];
        bool counts = w != 0.0f && (which > 0 || said == of);
        bins[i] = !counts ? -1 : chosen == -2 ? 3 * of + which : chosen == -1 || chosen == of ? which : -1;
        weights[i] = w;
    }
}

KERNEL exceeding(const real *x, const int *label, const float *weight, View of_x, View of_label, View of_weight, View of_class,
                 int ignore, float threshold, int which, int chosen, int *bins, float *weights, int count) {
    EACH(i, count) {
        int truth = label[place(of_label, i)], of = place(of_class, i);
        float w = truth == ignore ? 0.0f : weight ? weight[place(of_weight, i)] : 1.0f;
        bool said = x[place(of_x, i)] > threshold, is = truth == 1;
        bool counts = w != 0.0f && (which == 0 ? said && is : which == 1 ? said : is);
        bins[i] = !counts ? -1 : chosen == -2 ? 3 * of + which : chosen == -1 || chosen == of ? which : -1;
        weights[i] = w;
    }
}

KERNEL by_class(const float *values, const int *label, const float *weight, View of_values, View of_label, View of_weight,
                int ignore, int *bins, float *kept, float *weights, int count) {
    EACH(i, count) {
        int at = place(of_label, i);
        float w = weigh(label, weight, at, place(of_weight, i), ignore);
        bins[i] = w != 0.0f ? label[at] : -1;
        kept[i] = values[place(of_values, i)];
        weights[i] = w;
    }
}

// Bins of equal width over probabilities, those of label 1 first.
KERNEL score_bins(const real *x, const int *label, const float *weight, View lines, View of_label, View of_weight, int ignore,
                  int second, int squash, int wide, int *bins, float *weights, int count) {
    EACH(i, count) {
        auto score = x + place(lines, i);
        float value = !second ? score[0] : squash ? score[second] - score[0] : score[second];
        double p = squash ? 0.5 * tanh(0.5 * (double)value) + 0.5 : (double)(value * wide);
        double at = floor(squash ? p * wide : p);
        int truth = label[place(of_label, i)], bin = at < 0.0 ? 0 : at > wide - 1.0 ? wide - 1 : (int)at;
        weights[i] = truth == ignore ? 0.0f : weight ? weight[place(of_weight, i)] : 1.0f;
        bins[i] = truth == 1 ? bin : wide + bin;
    }
}

// A row of parts for each stretch of places, a thread for each bin.
KERNEL count_parts(const int *bins, const float *weights, double *parts, int count, int size, int stretch) {
    int bin = first();
    if (bin >= size) return;
    double sum = 0.0;
    int from = blockIdx.y * stretch, to = lesser(from + stretch, count);
    for (int i = from; i < to; i++)
        if (bins[i] == bin) sum += weights[i];
    parts[(size_t)blockIdx.y * size + bin] = sum;
}

KERNEL count_joined(const double *parts, double *sums, int stretches, int size, int count) {
    EACH(i, count) {
        double sum = 0.0;
        for (int part = 0; part < stretches; part++) sum += parts[(size_t)part * size + i];
        sums[i] = sum;
    }
}

KERNEL add_three(const double *found, double *sums, int size, int count) {
    EACH(i, count) sums[i] = found[i] + found[size + i] + found[2 * size + i];
}

KERNEL divide(const double *total, const double *whole, float *y, int count) {
    EACH(i, count) y[i] = whole[i] != 0.0 ? (float)(total[i] / whole[i]) : 0.0f;
}
