// Scales, biases and slopes of channels; the largest of neighbouring channels.

KERNEL scale_bias(const real *x, const real *scale, const real *bias, real *y, View of_x, View of_scale, View of_bias,
                  int count) {
    EACH(i, count) {
        int at = place(of_x, i);
        float value = x[at];
        if (scale) value *= scale[place(of_scale, i)];
        if (bias) value += bias[place(of_bias, i)];
        y[at] = value;
    }
}

// z[i] = (+=) the sum over j of dy x (of dy where there is no x; `below`: only where x <= 0), a block for each i
BLOCK_KERNEL collect(const real *dy, const real *x, real *z, View own, View gone, View of_z, int over, int add, int below) {
    int from = place(own, blockIdx.x);
    float sum = 0.0f;
    for (int j = threadIdx.x; j < over; j += blockDim.x) {
        int at = from + place(gone, j);
        float value = x ? x[at] : 1.0f;
        sum += below && value > 0.0f ? 0.0f : dy[at] * value;
    }
    sum = block_sum(sum);
    auto to = z + place(of_z, blockIdx.x);
    if (threadIdx.x == 0) *to = sum + (add ? *to : 0.0f);
}

// made = given where x > 0, else slope given
KERNEL prelu(const real *x, const float *slope, const real *given, real *made, View of_x, View of_slope, int count) {
    EACH(i, count) {
        int at = place(of_x, i);
        made[at] = x[at] > 0.0f ? given[at] : slope[place(of_slope, i)] * given[at];
    }
}

// y[c] = max of the channels of group c; winner = which, the first of equals
KERNEL maxout(const real *x, real *y, int *winner, View of_y, View of_x, int step, int pieces, int count) {
    EACH(i, count) {
        auto group = x + place(of_x, i);
        float best = group[0];
        int who = 0;
        for (int piece = 1; piece < pieces; piece++)
            if (group[piece * step] > best) {
                best = group[piece * step];
                who = piece;
            }
        int at = place(of_y, i);
        y[at] = best;
        winner[at] = who;
    }
}

KERNEL maxout_dx(const real *dy, const int *winner, real *dx, View of_y, View of_x, int step, int pieces, int count) {
    EACH(i, count) {
        int at = place(of_y, i);
        auto group = dx + place(of_x, i);
        for (int piece = 0; piece < pieces; piece++) group[piece * step] = winner[at] == piece ? dy[at] : 0.0f;
    }
}
