// Recurrent nets: a step behind its product p (samples, gates of units), a thread for each sample and unit.
#include "gates.cuh"

KERNEL rnn(const float *p, const float *a, const float *h0, const float *keep, const float *live, float *h, real *y, int y_row,
           int relu, int units, int count) {
    EACH(i, count) rnn_cell(i, i / units, i % units, p + i, a, h0, keep, live, h, y, y_row, relu);
}

KERNEL rnn_back(const float *h, const float *next, const float *live, const real *dy, int dy_row, float *dh, float *da, int relu,
                int units, int count) {
    EACH(i, count) rnn_cell_back(i, i / units, i % units, dh[i], h, next, live, dy, dy_row, dh, da, relu);
}

KERNEL lstm(const float *p, const float *a, const float *peep, const float *h0, const float *c0, const float *keep,
            const float *live, float *gates, float *h, float *c, real *y, int y_row, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 4 * n * units + j;
        float s[4] = {p[at], p[at + units], p[at + 2 * units], p[at + 3 * units]};
        lstm_cell(i, n, j, s, a, peep, h0, c0, keep, live, gates, h, c, y, y_row, units);
    }
}

KERNEL lstm_back(const float *gates, const float *peep, const float *c0, const float *c, const float *keep, const float *next,
                 const float *live, const real *dy, int dy_row, float *dh, float *dc, float *da, int units, int count) {
    EACH(i, count)
        lstm_cell_back(i, i / units, i % units, dh[i], gates, peep, c0, c, keep, next, live, dy, dy_row, dh, dc, da, units);
}

KERNEL gru(const float *p, const float *a, const float *b, const float *h0, const float *keep, const float *live, float *notes,
           float *h, real *y, int y_row, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 3 * n * units + j;
        float s[3] = {p[at], p[at + units], p[at + 2 * units]};
        gru_cell(i, n, j, s, a, b, h0, keep, live, notes, h, y, y_row, units);
    }
}

KERNEL gru_back(const float *notes, const float *h0, const float *keep, const float *next, const float *live, const real *dy,
                int dy_row, float *dh, float *da, float *dp, int units, int count) {
    EACH(i, count)
        gru_cell_back(i, i / units, i % units, dh[i], notes, h0, keep, next, live, dy, dy_row, dh, da, dp, units);
}

// With the reset before the product: r, z and q = r h0 first,
KERNEL gru_gates(const float *a, const float *p, const float *h0, const float *keep, float *notes, float *q, int units,
                 int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 3 * n * units + j, by = 2 * n * units + j, note = 4 * n * units + j;
        float k = mark(keep, n), r = sigmoid(a[at] + k * p[by]);
        notes[note] = r;
        notes[note + units] = sigmoid(a[at + units] + k * p[by + units]);
        notes[note + 3 * units] = q[i] = r * (k * h0[i]);
    }
}

// then n = tanh(a + s), where s is the product of q, and h = z h0 + (1 - z) n
KERNEL gru_before(const float *a, const float *s, const float *h0, const float *keep, const float *live, float *notes, float *h,
                  real *y, int y_row, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, note = 4 * n * units + j;
        float one = mark(live, n), before = mark(keep, n) * h0[i], z = notes[note + units];
        float made = tanhf(a[3 * n * units + 2 * units + j] + s[i]);
        float out = one * (z * before + (1.0f - z) * made) + (1.0f - one) * before;
        notes[note + 2 * units] = made;
        h[i] = out;
        y[n * y_row + j] = one * out;
    }
}

// With the reset before the product: by z and n first (dn is n's alone),
KERNEL gru_before_back(const float *notes, const float *h0, const float *keep, const float *next, const float *live,
                       const real *dy, int dy_row, float *dh, float *da, float *dn, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 3 * n * units + j, note = 4 * n * units + j;
        float one = mark(live, n), back = mark(next, n) * dh[i], before = mark(keep, n) * h0[i];
        float z = notes[note + units], made = notes[note + 2 * units], d = one * (back + dy[n * dy_row + j]);
        da[at + units] = d * (before - made) * z * (1.0f - z);
        da[at + 2 * units] = dn[i] = d * (1.0f - z) * (1.0f - made * made);
        dh[i] = d * z + (1.0f - one) * back;
    }
}

// then, with dq, which dn has become through the product, by r
KERNEL gru_gates_back(const float *notes, const float *h0, const float *keep, const float *dq, float *dh, float *da, float *dp,
                      int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 3 * n * units + j, by = 2 * n * units + j;
        float r = notes[4 * n * units + j];
        da[at] = dp[by] = dq[i] * (mark(keep, n) * h0[i]) * r * (1.0f - r);
        dp[by + units] = da[at + units];
        dh[i] += dq[i] * r;
    }
}
