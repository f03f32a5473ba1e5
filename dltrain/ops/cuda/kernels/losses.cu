// What losses divide by, their sums in double precision in a fixed order, and the losses over distances and regions.

INLINE float share(const float *dy, const float *z) { return z[0] != 0.0f ? dy[0] / z[0] : dy[0] * 0.0f; }

template <class T> INLINE float kept(const int *label, const T *target, int ignores, int ignore, int i) {
    return !ignores || (label ? label[i] != ignore : target ? target[i] != (float)ignore : true) ? 1.0f : 0.0f;
}

// z = scale times the sum of the weights of places whose label is kept; of several blocks, each leaves its part
BLOCK_KERNEL weigh(const int *label, const real *target, const float *weight, double *parts, float *z, int per, int ignores,
                   int ignore, double scale, int count) {
    double sum = 0.0;
    EACH(i, count) sum += kept(label, target, ignores, ignore, i) * (weight ? weight[i / per] : 1.0f);
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    if (gridDim.x == 1)
        z[0] = (float)(sum * scale);
    else
        parts[blockIdx.x] = sum;
}

BLOCK_KERNEL join_weights(const double *parts, float *z, double scale, int count) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) z[0] = (float)(sum * scale);
}

// sums = (total, z);   y = total / z, and 0 where nothing counted
INLINE void finish(double total, const float *z, double *sums, float *y) {
    double weight = z ? (double)z[0] : 1.0;
    sums[0] = total;
    sums[1] = weight;
    if (y) y[0] = weight != 0.0 ? (float)(total / weight) : 0.0f;
}

BLOCK_KERNEL mean(const real *values, const float *z, double *parts, double *sums, float *y, int count) {
    double sum = 0.0;
    EACH(i, count) sum += values[i];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    if (gridDim.x == 1)
        finish(sum, z, sums, y);
    else
        parts[blockIdx.x] = sum;
}

BLOCK_KERNEL join_mean(const double *parts, const float *z, double *sums, float *y, int count) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) finish(sum, z, sums, y);
}

// y = weight of each place, times table[label]
KERNEL place_weights(const int *label, const float *weight, const float *table, float *y, int per, int classes, int ignores,
                     int ignore, int count) {
    EACH(i, count) {
        float w = (ignores && label[i] == ignore ? 0.0f : 1.0f) * (weight ? weight[i / per] : 1.0f);
        int k = w == 0.0f ? 0 : label[i];
        y[i] = !table ? w : k >= 0 && k < classes ? w * table[k] : NAN;
    }
}

// --- distances: a block for each sample, or a thread for each of its `width` numbers ---
template <class A, class B>
INLINE float squared_distance(const A *a, const B *b, const View &of_a, const View &of_b, int start, int width) {
    float sum = 0.0f;
    for (int i = start + threadIdx.x; i < start + width; i += blockDim.x) {
        float d = a[place(of_a, i)] - b[place(of_b, i)];
        sum += d * d;
    }
    return block_sum(sum);
}

template <class T> INLINE bool alike(const int *similar, const T *likeness, int n) {
    return similar ? similar[n] != 0 : likeness[n] != 0.0f;
}

// distance = |a - b|;   loss = weight/2 (distance^2 if similar, else max(margin - distance, 0)^2)
// legacy: of dissimilar ones max(margin - distance^2, 0)
BLOCK_KERNEL contrastive_loss(const real *a, const real *b, const int *similar, const real *likeness, const float *weight,
                              float *distance, float *loss, View of_a, View of_b, float margin, int legacy, int width) {
    int n = blockIdx.x;
    float d = sqrtf(squared_distance(a, b, of_a, of_b, n * width, width)), square = d * d;
    if (threadIdx.x > 0) return;
    float gap = maximum(margin - d, 0.0f), apart = legacy ? maximum(margin - square, 0.0f) : gap * gap;
    distance[n] = d;
    loss[n] = 0.5f * (alike(similar, likeness, n) ? square : apart) * (weight ? weight[n] : 1.0f);
}

// da = (a - b) (f weight dy / z + d_distance / distance), db = -da;   f as in the reference
KERNEL contrastive_loss_dx(const real *a, const real *b, const int *similar, const real *likeness, const float *weight,
                           const float *distance, const float *z, const float *dy, const real *d_distance, real *da, real *db,
                           View of_a, View of_b, float margin, int legacy, int width, int count) {
    EACH(i, count) {
        int n = i / width;
        float d = distance[n], gap = maximum(margin - d, 0.0f);
        float apart = legacy ? (margin > d * d ? -1.0f : 0.0f) : -gap / (d + 1e-4f);
        float factor = (alike(similar, likeness, n) ? 1.0f : apart) * share(dy, z) * (weight ? weight[n] : 1.0f);
        if (d_distance && d > 0.0f) factor += d_distance[n] / d;
        int at_a = place(of_a, i), at_b = place(of_b, i);
        float made = (a[at_a] - b[at_b]) * factor;
        if (da) da[at_a] = made;
        if (db) db[at_b] = -made;
    }
}

// near = d(a, p), far = d(a, n);   loss = weight max(0, margin + near - far),   d = |.|^2 if squared, else |.|
BLOCK_KERNEL triplet_loss(const real *a, const real *p, const real *n, const float *weight, float *near, float *far,
                          float *loss, View of, float margin, int squared, int width) {
    int sample = blockIdx.x;
    float to_p = squared_distance(a, p, of, of, sample * width, width);
    float to_n = squared_distance(a, n, of, of, sample * width, width);
    if (threadIdx.x > 0) return;
    near[sample] = to_p = squared ? to_p : sqrtf(to_p);
    far[sample] = to_n = squared ? to_n : sqrtf(to_n);
    loss[sample] = maximum(to_p - to_n + margin, 0.0f) * (weight ? weight[sample] : 1.0f);
}

// dp = -d'(a, p) g, dn = d'(a, n) g, da = -(dp + dn);   g = weight dy / z where the margin is not kept
KERNEL triplet_loss_dx(const real *a, const real *p, const real *n, const float *weight, const float *near, const float *far,
                       const float *z, const float *dy, real *da, real *dp, real *dn, View of, float margin, int squared,
                       int width, int count) {
    EACH(i, count) {
        int sample = i / width, at = place(of, i);
        float to_p = near[sample], to_n = far[sample], g = to_p - to_n + margin > 0.0f ? share(dy, z) : 0.0f * share(dy, z);
        g *= weight ? weight[sample] : 1.0f;
        float pull = (a[at] - p[at]) * (squared ? 2.0f * g : to_p > 0.0f ? g / to_p : 0.0f);
        float push = (a[at] - n[at]) * (squared ? 2.0f * g : to_n > 0.0f ? g / to_n : 0.0f);
        if (da) da[at] = pull - push;
        if (dp) dp[at] = -pull;
        if (dn) dn[at] = push;
    }
}

// --- regions: a block for each sample and class ---
struct Region {
    float both, size; // 2 sum of p t + smooth, sum of p^2 + t^2 + smooth
};

// The target of element i of a region, and whether it counts: `as_p` tells where a label for each element of p lies.
template <class T>
INLINE float truth(const int *label, const T *target, const View &as_p, const View &of_label, int classes, int size, int i,
                   int ignores, int ignore, float &keep) {
    int region = blockIdx.x, each = as_p.rank > 0;
    int at = place(of_label, each ? place(as_p, region * size + i) : region / classes * size + i);
    keep = kept(label, target, ignores, ignore, at);
    float value = label ? (float)label[at] : (float)target[at];
    return each ? value : value == (float)(region % classes) ? 1.0f : 0.0f;
}

template <class P, class T>
INLINE Region region_of(const P *p, const int *label, const T *target, const View &of_p, const View &as_p, const View &of_label,
                        int classes, int size, int ignores, int ignore, float smooth) {
    float both = 0.0f, squares = 0.0f, keep;
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
        float v = p[place(of_p, blockIdx.x * size + i)];
        float t = truth(label, target, as_p, of_label, classes, size, i, ignores, ignore, keep);
        both += 2.0f * v * t * keep;
        squares += (v * v + t * t) * keep;
    }
    both = block_sum(both);
    return {both + smooth, block_sum(squares) + smooth};
}

// loss = weight (1 - both / size), 0 of nothing
BLOCK_KERNEL dice_loss(const real *p, const int *label, const real *target, const float *weight, float *loss, View of_p,
                       View as_p, View of_label, int classes, int size, int ignores, int ignore, float smooth) {
    Region found = region_of(p, label, target, of_p, as_p, of_label, classes, size, ignores, ignore, smooth);
    float made = found.size > 0.0f ? 1.0f - found.both / found.size : 0.0f;
    if (threadIdx.x == 0) loss[blockIdx.x] = made * (weight ? weight[blockIdx.x / classes] : 1.0f);
}

// dx = 2 (p both / size - t) / size weight dy / z
BLOCK_KERNEL dice_loss_dx(const real *p, const int *label, const real *target, const float *weight, const float *z,
                          const float *dy, real *dx, View of_p, View as_p, View of_label, int classes, int size, int ignores,
                          int ignore, float smooth) {
    Region found = region_of(p, label, target, of_p, as_p, of_label, classes, size, ignores, ignore, smooth);
    float rate = share(dy, z) * (weight ? weight[blockIdx.x / classes] : 1.0f), keep;
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
        int at = place(of_p, blockIdx.x * size + i);
        float t = truth(label, target, as_p, of_label, classes, size, i, ignores, ignore, keep);
        dx[at] = found.size > 0.0f ? 2.0f * (p[at] * (found.both / found.size) - t) / found.size * keep * rate : 0.0f * rate;
    }
}
