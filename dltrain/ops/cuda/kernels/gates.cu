// Recurrent nets: all that one step does between two matrix products, a thread for each sample and unit.
// p is the product of the state before with W_h.  keep (what that state is multiplied by) and live (0 where the step is padding)
// are a number a sample, 1 without them.  y and dy have their own distance between samples.

INLINE float mark(const float *marks, int sample) { return marks ? marks[sample] : 1.0f; }
INLINE float sigmoid(float x) { return 0.5f * tanhf(0.5f * x) + 0.5f; }

// h = f(a + keep p), f being tanh or max(0, .);   y = live h
KERNEL rnn(const float *a, const float *p, const float *h0, const float *keep, const float *live, float *h, float *y, int y_row,
           int relu, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units;
        float k = mark(keep, n), one = mark(live, n), z = a[i] + k * p[i];
        float made = one * (relu ? maximum(z, 0.0f) : tanhf(z)) + (1.0f - one) * (k * h0[i]);
        h[i] = made;
        if (y) y[n * y_row + j] = one * made;
    }
}

// da = live (dh + dy) f';   what is left of dh passes the step by.  dh is what the step after has left, to be multiplied by its keep.
KERNEL rnn_back(const float *h, const float *next, const float *live, const float *dy, int dy_row, float *dh, float *da, int relu,
                int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units;
        float one = mark(live, n), back = mark(next, n) * dh[i], slope = relu ? (h[i] > 0.0f ? 1.0f : 0.0f) : 1.0f - h[i] * h[i];
        da[i] = one * (back + dy[n * dy_row + j]) * slope;
        dh[i] = (1.0f - one) * back;
    }
}

// i, f, o, g of a + keep p (and of the states, with peepholes);   c = f c0 + i g;   h = o tanh c
KERNEL lstm(const float *a, const float *p, const float *peep, const float *h0, const float *c0, const float *keep,
            const float *live, float *gates, float *h, float *c, float *y, int y_row, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 4 * n * units + j;
        float k = mark(keep, n), one = mark(live, n), s = k * c0[i];
        float u = a[at] + k * p[at], v = a[at + units] + k * p[at + units];
        float x = a[at + 2 * units] + k * p[at + 2 * units], g = tanhf(a[at + 3 * units] + k * p[at + 3 * units]);
        if (peep) {
            u += peep[j] * s;
            v += peep[units + j] * s;
        }
        u = sigmoid(u);
        v = sigmoid(v);
        float made = v * s + u * g;
        x = sigmoid(peep ? x + peep[2 * units + j] * made : x);
        float out = one * x * tanhf(made) + (1.0f - one) * (k * h0[i]);
        h[i] = out;
        c[i] = one * made + (1.0f - one) * s;
        y[n * y_row + j] = one * out;
        if (gates) {
            gates[at] = u;
            gates[at + units] = v;
            gates[at + 2 * units] = x;
            gates[at + 3 * units] = g;
        }
    }
}

// da is the gradient by the sums in the gates;   dc becomes that by the c before the step
KERNEL lstm_back(const float *gates, const float *peep, const float *c0, const float *c, const float *keep, const float *next,
                 const float *live, const float *dy, int dy_row, float *dh, float *dc, float *da, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 4 * n * units + j;
        float k = mark(keep, n), one = mark(live, n), back = mark(next, n) * dh[i], carry = dc[i], top = tanhf(c[i]);
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
}

// r, z = sigmoid(a + keep p);   q = keep p + b;   n = tanh(a + r q);   h = z h0 + (1 - z) n.   The notes are r, z, n, q.
KERNEL gru_after(const float *a, const float *p, const float *b, const float *h0, const float *keep, const float *live,
                 float *notes, float *h, float *y, int y_row, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 3 * n * units + j, note = 4 * n * units + j;
        float k = mark(keep, n), one = mark(live, n), before = k * h0[i];
        float r = sigmoid(a[at] + k * p[at]), z = sigmoid(a[at + units] + k * p[at + units]);
        float q = k * p[at + 2 * units] + (b ? b[j] : 0.0f), made = tanhf(a[at + 2 * units] + r * q);
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
}

// With the reset before the product: r, z and q = r h0 first,
KERNEL gru_gates(const float *a, const float *p, const float *h0, const float *keep, float *notes, float *q, int units, int count) {
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
                  float *y, int y_row, int units, int count) {
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

// da by the sums in r, z, n;   dp by those of the product: r, z, and n's share r;   dh passes by the products
KERNEL gru_after_back(const float *notes, const float *h0, const float *keep, const float *next, const float *live,
                      const float *dy, int dy_row, float *dh, float *da, float *dp, int units, int count) {
    EACH(i, count) {
        int n = i / units, j = i - n * units, at = 3 * n * units + j, note = 4 * n * units + j;
        float one = mark(live, n), back = mark(next, n) * dh[i], before = mark(keep, n) * h0[i];
        float r = notes[note], z = notes[note + units], made = notes[note + 2 * units], q = notes[note + 3 * units];
        float d = one * (back + dy[n * dy_row + j]), by_n = d * (1.0f - z) * (1.0f - made * made);
        da[at] = dp[at] = by_n * q * r * (1.0f - r);
        da[at + units] = dp[at + units] = d * (before - made) * z * (1.0f - z);
        da[at + 2 * units] = by_n;
        dp[at + 2 * units] = by_n * r;
        dh[i] = d * z + (1.0f - one) * back;
    }
}

// With the reset before the product: by z and n first (dn is n's alone),
KERNEL gru_before_back(const float *notes, const float *h0, const float *keep, const float *next, const float *live,
                       const float *dy, int dy_row, float *dh, float *da, float *dn, int units, int count) {
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
