"""Kernels of one step of a recurrent net: all that stands between two matrix products, in one pass.

Rows are samples.  p is the product of the state before with weight_h; h0 is that state, already multiplied by cont; keep and live
are numbers a sample: what the state before a step is multiplied by, and 1, or 0 where the step is padding.
"""

from numba import njit

from dltrain.ops.cpu.functions import F, tanh
from dltrain.ops.cpu.patches import OPTIONS

ONE, HALF = F(1.0), F(0.5)


@njit(**OPTIONS)
def sigmoid(x):
    return HALF * tanh(HALF * x) + HALF


@njit(**OPTIONS)
def kept(h, keep, y):
    """y = keep h"""
    for n in range(h.shape[0]):
        a, b, k = h[n], y[n], keep[n]
        for j in range(a.size):
            b[j] = k * a[j]


@njit(**OPTIONS)
def fell(p, keep, live, dh):
    """dh <- keep (p + (1 - live) dh): the gradient by the state before a step"""
    for n in range(p.shape[0]):
        a, b, k, rest = p[n], dh[n], keep[n], ONE - live[n]
        for j in range(a.size):
            b[j] = k * (a[j] + rest * b[j])


# --- LSTM: the gates i, f, o, g lie side by side ---
@njit(**OPTIONS)
def lstm(a, p, peep, h0, c0, keep, live, h, c):
    """a becomes the gates; h, c the states after the step"""
    H = h.shape[1]
    pi, pf, po = peep[0], peep[1], peep[2]
    for n in range(h.shape[0]):
        i, f, o, g = a[n, :H], a[n, H : 2 * H], a[n, 2 * H : 3 * H], a[n, 3 * H :]
        si, sf, so, sg = p[n, :H], p[n, H : 2 * H], p[n, 2 * H : 3 * H], p[n, 3 * H :]
        before, old, after, new = h0[n], c0[n], h[n], c[n]
        k, one = keep[n], live[n]
        rest = ONE - one
        for j in range(H):
            s = k * old[j]
            u = sigmoid(i[j] + si[j] + pi[j] * s)
            v = sigmoid(f[j] + sf[j] + pf[j] * s)
            w = tanh(g[j] + sg[j])
            made = v * s + u * w
            x = sigmoid(o[j] + so[j] + po[j] * made)
            i[j], f[j], o[j], g[j] = u, v, x, w
            after[j] = one * x * tanh(made) + rest * before[j]
            new[j] = one * made + rest * s


@njit(**OPTIONS)
def lstm_back(gates, peep, c0, c, keep, live, dy, dh, dc, da):
    """da is the gradient by a; dc becomes that by c0"""
    H = dh.shape[1]
    pi, pf, po = peep[0], peep[1], peep[2]
    for n in range(dh.shape[0]):
        i, f, o, g = gates[n, :H], gates[n, H : 2 * H], gates[n, 2 * H : 3 * H], gates[n, 3 * H :]
        di, df, do, dg = da[n, :H], da[n, H : 2 * H], da[n, 2 * H : 3 * H], da[n, 3 * H :]
        old, made, above, back, carry = c0[n], c[n], dy[n], dh[n], dc[n]
        k, one = keep[n], live[n]
        rest = ONE - one
        for j in range(H):
            u, v, x, w, d, top = i[j], f[j], o[j], g[j], carry[j], tanh(made[j])
            new = one * (back[j] + above[j])
            eo = new * top * x * (ONE - x)
            inner = one * d + new * x * (ONE - top * top) + eo * po[j]
            ei = inner * w * u * (ONE - u)
            ef = inner * (k * old[j]) * v * (ONE - v)
            di[j], df[j], do[j], dg[j] = ei, ef, eo, inner * u * (ONE - w * w)
            carry[j] = k * (inner * v + rest * d + ei * pi[j] + ef * pf[j])


# --- RNN ---
@njit(**OPTIONS)
def rnn_tanh(a, p, h0, live, h):
    for n in range(h.shape[0]):
        x, s, before, after, one = a[n], p[n], h0[n], h[n], live[n]
        for j in range(after.size):
            after[j] = one * tanh(x[j] + s[j]) + (ONE - one) * before[j]


@njit(**OPTIONS)
def rnn_relu(a, p, h0, live, h):
    for n in range(h.shape[0]):
        x, s, before, after, one = a[n], p[n], h0[n], h[n], live[n]
        for j in range(after.size):
            z = x[j] + s[j]
            after[j] = one * (F(0.0) if z < F(0.0) else z) + (ONE - one) * before[j]


@njit(**OPTIONS)
def rnn_tanh_back(h, live, dy, dh, da):
    for n in range(h.shape[0]):
        after, above, back, d, one = h[n], dy[n], dh[n], da[n], live[n]
        for j in range(after.size):
            d[j] = one * (back[j] + above[j]) * (ONE - after[j] * after[j])


@njit(**OPTIONS)
def rnn_relu_back(h, live, dy, dh, da):
    for n in range(h.shape[0]):
        after, above, back, d, one = h[n], dy[n], dh[n], da[n], live[n]
        for j in range(after.size):
            d[j] = one * (back[j] + above[j]) if after[j] > F(0.0) else F(0.0)


# --- GRU: the notes r, z, n, q lie side by side; a and p hold r, z, n ---
@njit(**OPTIONS)
def gru_after(a, p, b, h0, live, notes, h):
    """The whole step, where r is multiplied by q = p_n + b"""
    H = h.shape[1]
    for n in range(h.shape[0]):
        x, s, note, before, after, one = a[n], p[n], notes[n], h0[n], h[n], live[n]
        for j in range(2 * H):
            note[j] = sigmoid(x[j] + s[j])
        r, z, new, q, xn, sn = note[:H], note[H : 2 * H], note[2 * H : 3 * H], note[3 * H :], x[2 * H :], s[2 * H :]
        for j in range(H):
            seen = sn[j] + b[j]
            w = tanh(xn[j] + r[j] * seen)
            q[j], new[j] = seen, w
            after[j] = one * (z[j] * before[j] + (ONE - z[j]) * w) + (ONE - one) * before[j]


@njit(**OPTIONS)
def gru_gates(a, p, h0, notes, q):
    """r, z and q = r h0"""
    H = q.shape[1]
    for n in range(q.shape[0]):
        x, s, note, before, seen = a[n], p[n], notes[n], h0[n], q[n]
        for j in range(2 * H):
            note[j] = sigmoid(x[j] + s[j])
        r, known = note[:H], note[3 * H :]
        for j in range(H):
            seen[j] = r[j] * before[j]
            known[j] = r[j] * before[j]


@njit(**OPTIONS)
def gru_before(a, p, h0, live, notes, h):
    """n = tanh(a_n + p), and the state after the step"""
    H = h.shape[1]
    for n in range(h.shape[0]):
        x, s, before, after, one = a[n, 2 * H :], p[n], h0[n], h[n], live[n]
        z, new = notes[n, H : 2 * H], notes[n, 2 * H : 3 * H]
        for j in range(H):
            w = tanh(x[j] + s[j])
            new[j] = w
            after[j] = one * (z[j] * before[j] + (ONE - z[j]) * w) + (ONE - one) * before[j]


@njit(**OPTIONS)
def gru_back(notes, h0, live, dy, dh, da):
    """The gradients by a_z and a_n; dh becomes what reaches the state before past the products"""
    H = dh.shape[1]
    for n in range(dh.shape[0]):
        z, made, before, above, back, one = notes[n, H : 2 * H], notes[n, 2 * H : 3 * H], h0[n], dy[n], dh[n], live[n]
        dz, dn = da[n, H : 2 * H], da[n, 2 * H :]
        for j in range(H):
            new, u, w = one * (back[j] + above[j]), z[j], made[j]
            dn[j] = new * (ONE - u) * (ONE - w * w)
            dz[j] = new * (before[j] - w) * u * (ONE - u)
            back[j] = new * u + (ONE - one) * back[j]


@njit(**OPTIONS)
def gru_after_back(notes, da, dp):
    """The gradients by a_r, and by p"""
    H = da.shape[1] // 3
    for n in range(da.shape[0]):
        r, q, dr, dn, d = notes[n, :H], notes[n, 3 * H :], da[n, :H], da[n, 2 * H :], dp[n, 2 * H :]
        for j in range(H):
            dr[j] = dn[j] * q[j] * r[j] * (ONE - r[j])
            d[j] = dn[j] * r[j]
        made, told = da[n], dp[n]
        for j in range(2 * H):
            told[j] = made[j]


@njit(**OPTIONS)
def gru_before_back(notes, dq, h0, dh, da, dp):
    """The gradients by a_r, and by the p of the gates; dh gets what comes through q = r h0"""
    H = dh.shape[1]
    for n in range(dh.shape[0]):
        r, got, before, back, dr = notes[n, :H], dq[n], h0[n], dh[n], da[n, :H]
        for j in range(H):
            dr[j] = got[j] * before[j] * r[j] * (ONE - r[j])
            back[j] += got[j] * r[j]
        made, told = da[n], dp[n]
        for j in range(2 * H):
            told[j] = made[j]
