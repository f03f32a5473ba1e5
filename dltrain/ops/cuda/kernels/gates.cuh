// Recurrent nets: all that one step does between two matrix products, for one sample n and unit j, element i of a state.
// s are the products of the state before with W_h, a gate each.  keep (what that state is multiplied by) and live (0 where the
// step is padding) are a number a sample, 1 without them.  y and dy have their own distance between samples.
// Back through a step, `late` is what the step after has left and its product, to be multiplied by that step's keep, `next`.

INLINE float mark(const float *marks, int sample) { return marks ? marks[sample] : 1.0f; }
INLINE float sigmoid(float x) { return 0.5f * tanhf(0.5f * x) + 0.5f; }

// h = f(a + keep s), f being tanh or max(0, .);   y = live h
template <class T>
INLINE void rnn_cell(int i, int n, int j, const float *s, const float *a, const float *h0, const float *keep, const float *live,
                     float *h, T *y, int y_row, int relu) {
    float k = mark(keep, n), one = mark(live, n), z = a[i] + k * s[0];
    float made = one * (relu ? maximum(z, 0.0f) : tanhf(z)) + (1.0f - one) * (k * h0[i]);
    h[i] = made;
    if (y) y[n * y_row + j] = one * made;
}

// da = live (late + dy) f';   dh is what passes the product by
template <class T>
INLINE void rnn_cell_back(int i, int n, int j, float late, const float *h, const float *next, const float *live, const T *dy,
                          int dy_row, float *dh, float *da, int relu) {
    float one = mark(live, n), back = mark(next, n) * late, slope = relu ? (h[i] > 0.0f ? 1.0f : 0.0f) : 1.0f - h[i] * h[i];
    da[i] = one * (back + dy[n * dy_row + j]) * slope;
    dh[i] = (1.0f - one) * back;
}

// i, f, o, g of a + keep s (and of the states, with peepholes);   c = f c0 + i g;   h = o tanh c.   The gates may take a's place.
template <class T>
INLINE void lstm_cell(int i, int n, int j, const float *s, const float *a, const float *peep, const float *h0, const float *c0,
                      const float *keep, const float *live, float *gates, float *h, float *c, T *y, int y_row, int units) {
    int at = 4 * n * units + j;
    float k = mark(keep, n), one = mark(live, n), old = k * c0[i];
    float u = a[at] + k * s[0], v = a[at + units] + k * s[1];
    float x = a[at + 2 * units] + k * s[2], g = tanhf(a[at + 3 * units] + k * s[3]);
    if (peep) {
        u += peep[j] * old;
        v += peep[units + j] * old;
    }
    u = sigmoid(u);
    v = sigmoid(v);
    float made = v * old + u * g;
    x = sigmoid(peep ? x + peep[2 * units + j] * made : x);
    float out = one * x * tanhf(made) + (1.0f - one) * (k * h0[i]);
    h[i] = out;
    c[i] = one * made + (1.0f - one) * old;
    y[n * y_row + j] = one * out;
    if (gates) {
        gates[at] = u;
        gates[at + units] = v;
        gates[at + 2 * units] = x;
        gates[at + 3 * units] = g;
    }
}

// da is the gradient by the sums in the gates;   dc becomes that by the c before the step
template <class T>
INLINE void lstm_cell_back(int i, int n, int j, float late, const float *gates, const float *peep, const float *c0,
                           const float *c, const float *keep, const float *next, const float *live, const T *dy, int dy_row,
                           float *dh, float *dc, float *da, int units) {
    int at = 4 * n * units + j;
    float k = mark(keep, n), one = mark(live, n), back = mark(next, n) * late, carry = dc[i], top = tanhf(c[i]);
    float u = gates[at], v = gates[at + units], x = gates[at + 2 * units], g = gates[at + 3 * units];
    float made = one * (back + dy[n * dy_row + j]);
    float by_o = made * top * x * (1.0f - x), inner = one * carry + made * x * (1.0f - top * top);
    if (peep) inner += by_o * peep[2 * units + j];
    float by_i = inner * g * u * (1.0f - u), by_f = inner * (k * c0[i]) * v * (1.0f - v);
    float past = inner * v + (1.0f - one) * carry;
    if (peep) past += by_i * peep[j] + by_f * peep[units + j];
    da[at] = by_i;
    da[at + units] = by_f;
    da[at + 2 * units] = by_o;
    da[at + 3 * units] = inner * u * (1.0f - g * g);
    dc[i] = k * past;
    dh[i] = (1.0f - one) * back;
}

// r, z = sigmoid(a + keep s);   q = keep s + b;   m = tanh(a + r q);   h = z h0 + (1 - z) m.   The notes are r, z, m, q.
template <class T>
INLINE void gru_cell(int i, int n, int j, const float *s, const float *a, const float *b, const float *h0, const float *keep,
                     const float *live, float *notes, float *h, T *y, int y_row, int units) {
    int at = 3 * n * units + j, note = 4 * n * units + j;
    float k = mark(keep, n), one = mark(live, n), before = k * h0[i];
    float r = sigmoid(a[at] + k * s[0]), z = sigmoid(a[at + units] + k * s[1]);
    float q = k * s[2] + (b ? b[j] : 0.0f), made = tanhf(a[at + 2 * units] + r * q);
    float out = one * (z * before + (1.0f - z) * made) + (1.0f - one) * before;
    h[i] = out;
    y[n * y_row + j] = one * out;
    if (notes) {
        notes[note] = r;
        notes[note + units] = z;
        notes[note + 2 * units] = made;
        notes[note + 3 * units] = q;
    }
}

// da by the sums in r, z, m;   dp by those of the product: r, z, and m's share r;   dh passes the product by
template <class T>
INLINE void gru_cell_back(int i, int n, int j, float late, const float *notes, const float *h0, const float *keep,
                          const float *next, const float *live, const T *dy, int dy_row, float *dh, float *da, float *dp,
                          int units) {
    int at = 3 * n * units + j, note = 4 * n * units + j;
    float one = mark(live, n), back = mark(next, n) * late, before = mark(keep, n) * h0[i];
    float r = notes[note], z = notes[note + units], made = notes[note + 2 * units], q = notes[note + 3 * units];
    float d = one * (back + dy[n * dy_row + j]), by_m = d * (1.0f - z) * (1.0f - made * made);
    da[at] = dp[at] = by_m * q * r * (1.0f - r);
    da[at + units] = dp[at + units] = d * (before - made) * z * (1.0f - z);
    da[at + 2 * units] = by_m;
    dp[at + 2 * units] = by_m * r;
    dh[i] = d * z + (1.0f - one) * back;
}
