// The softmax over a vocabulary: over a sample of its classes, or over groups and then the classes of one.

INLINE float weigh(const int *label, const float *weight, int n, int ignore) {
    return label[n] == ignore ? 0.0f : weight ? weight[n] : 1.0f;
}

template <class T> INLINE float dot(const T *a, const float *b, int size) {
    float sum = 0.0f;
    for (int k = 0; k < size; k++) sum += a[k] * b[k];
    return sum;
}

// A softmax in place over `size` numbers, by the threads of a block.
INLINE void soften(float *x, int size) {
    float most = -INFINITY, sum = 0.0f;
    __syncthreads();
    for (int i = threadIdx.x; i < size; i += blockDim.x) most = maximum(x[i], most);
    most = block_max(most);
    for (int i = threadIdx.x; i < size; i += blockDim.x) sum += x[i] = expf(x[i] - most);
    sum = block_sum(sum);
    for (int i = threadIdx.x; i < size; i += blockDim.x) x[i] /= sum;
    __syncthreads();
}

INLINE float surprise(float prob) { return -logf(maximum(prob, LEAST)); }
INLINE float share(const float *dy, const float *z) { return z[0] != 0.0f ? dy[0] / z[0] : 0.0f; }

// prob = softmax over the label and the drawn classes of x w' + b, of drawn ones less log(how often they are expected)
BLOCK_KERNEL sampled(const real *x, const int *label, const float *w, const float *b, const float *weight, const int *drawn,
                     float *prob, float *loss, int size, int draws, int classes, int log_uniform, int ignore) {
    int n = blockIdx.x;
    float v = weigh(label, weight, n, ignore);
    int own = v != 0.0f ? label[n] : 0;
    float *row = prob + (size_t)n * (draws + 1);
    for (int j = threadIdx.x; j <= draws; j += blockDim.x) {
        int c = j ? drawn[j - 1] : own;
        float score = dot(x + (size_t)n * size, w + (size_t)c * size, size) + (b ? b[c] : 0.0f);
        double p = log_uniform ? log((c + 2.0) / (c + 1.0)) / log(classes + 1.0) : 1.0 / classes;
        row[j] = !j ? score : c == own ? -INFINITY : score - (float)log(draws * p);
    }
    soften(row, draws + 1);
    if (threadIdx.x == 0) loss[n] = v != 0.0f ? surprise(row[0]) * v : 0.0f;
}

KERNEL sampled_slope(const float *prob, const int *label, const float *weight, const float *z, const float *dy, float *g, int *own,
                     int width, int ignore, int count) {
    EACH(i, count) {
        int n = i / width, j = i - n * width;
        float v = weigh(label, weight, n, ignore);
        g[i] = (prob[i] * v - (j ? 0.0f : v)) * share(dy, z);
        if (!j) own[n] = v != 0.0f ? label[n] : 0;
    }
}

KERNEL sampled_dx(const float *g, const int *own, const float *w, const int *drawn, real *dx, int samples, int size, int draws,
                  int count) {
    EACH(i, count) {
        int n = i / size, k = i - n * size;
        const float *row = g + (size_t)n * (draws + 1);
        float sum = row[0] * w[(size_t)own[n] * size + k];
        for (int j = 0; j < draws; j++) sum += row[j + 1] * w[(size_t)drawn[j] * size + k];
        dx[i] = sum;
    }
}

KERNEL sampled_dw(const float *g, const int *own, const real *x, const int *drawn, float *dw, int samples, int size, int draws,
                  int count) {
    EACH(i, count) {
        int c = i / size, k = i - c * size;
        float sum = 0.0f;
        for (int n = 0; n < samples; n++)
            if (own[n] == c) sum += g[(size_t)n * (draws + 1)] * x[(size_t)n * size + k];
        for (int j = 0; j < draws; j++)
            if (drawn[j] == c)
                for (int n = 0; n < samples; n++) sum += g[(size_t)n * (draws + 1) + j + 1] * x[(size_t)n * size + k];
        dw[i] += sum;
    }
}

KERNEL sampled_db(const float *g, const int *own, const int *drawn, float *db, int samples, int size, int draws, int count) {
    EACH(c, count) {
        float sum = 0.0f;
        for (int n = 0; n < samples; n++)
            if (own[n] == c) sum += g[(size_t)n * (draws + 1)];
        for (int j = 0; j < draws; j++)
            if (drawn[j] == c)
                for (int n = 0; n < samples; n++) sum += g[(size_t)n * (draws + 1) + j + 1];
        db[c] += sum;
    }
}

// group = softmax of x wg' + bg;   prob = softmax of x w' + b over the classes of the label's group
BLOCK_KERNEL hierarchical(const real *x, const int *label, const float *wg, const float *bg, const float *w, const float *b,
                          const float *weight, float *group, float *prob, float *loss, int size, int groups, int members,
                          int classes, int ignore) {
    int n = blockIdx.x;
    auto given = x + (size_t)n * size;
    float v = weigh(label, weight, n, ignore), *over = group + (size_t)n * groups, *row = prob + (size_t)n * members;
    int own = v != 0.0f ? label[n] : 0, first_class = own / members * members, known = lesser(members, classes - first_class);
    for (int g = threadIdx.x; g < groups; g += blockDim.x)
        over[g] = dot(given, wg + (size_t)g * size, size) + (bg ? bg[g] : 0.0f);
    for (int j = threadIdx.x; j < members; j += blockDim.x) {
        int c = first_class + j;
        row[j] = j < known && v != 0.0f ? dot(given, w + (size_t)c * size, size) + (b ? b[c] : 0.0f) : 0.0f;
    }
    soften(over, groups);
    if (v != 0.0f) soften(row, known);
    if (threadIdx.x == 0)
        loss[n] = v != 0.0f ? (surprise(over[own / members]) + surprise(row[own % members])) * v : 0.0f;
}

KERNEL hierarchical_slope(const float *group, const float *prob, const int *label, const float *weight, const float *z,
                          const float *dy, float *h, float *g, int *own, int groups, int members, int ignore, int count) {
    EACH(n, count) {
        float v = weigh(label, weight, n, ignore), scale = v * share(dy, z);
        int c = v != 0.0f ? label[n] : 0;
        own[n] = v != 0.0f ? c / members : -1;
        for (int j = 0; j < groups; j++) h[n * groups + j] = group[n * groups + j] * scale - (j == c / members ? scale : 0.0f);
        for (int j = 0; j < members; j++) g[n * members + j] = prob[n * members + j] * scale - (j == c % members ? scale : 0.0f);
    }
}

KERNEL hierarchical_dx(const float *h, const float *g, const int *own, const float *wg, const float *w, real *dx, int samples,
                       int size, int groups, int members, int classes, int count) {
    EACH(i, count) {
        int n = i / size, k = i - n * size;
        float sum = 0.0f;
        for (int j = 0; j < groups; j++) sum += h[n * groups + j] * wg[(size_t)j * size + k];
        for (int j = 0; own[n] >= 0 && j < members && own[n] * members + j < classes; j++)
            sum += g[n * members + j] * w[((size_t)own[n] * members + j) * size + k];
        dx[i] = sum;
    }
}

// dw[c] += sum over samples of its slope times x; of classes (grouped) only samples of its group count
KERNEL hierarchical_dw(const float *slope, const int *own, const real *x, float *dw, int samples, int size, int groups,
                       int members, int classes, int grouped, int count) {
    EACH(i, count) {
        int c = i / size, k = i - c * size;
        float sum = 0.0f;
        for (int n = 0; n < samples; n++)
            if (!grouped)
                sum += slope[n * groups + c] * x[(size_t)n * size + k];
            else if (own[n] == c / members)
                sum += slope[n * members + c % members] * x[(size_t)n * size + k];
        dw[i] += sum;
    }
}

KERNEL hierarchical_db(const float *slope, const int *own, float *db, int samples, int size, int groups, int members, int classes,
                       int grouped, int count) {
    EACH(c, count) {
        float sum = 0.0f;
        for (int n = 0; n < samples; n++)
            if (!grouped)
                sum += slope[n * groups + c];
            else if (own[n] == c / members)
                sum += slope[n * members + c % members];
        db[c] += sum;
    }
}
