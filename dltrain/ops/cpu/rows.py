"""Kernels that go row by row: softmax and its loss, accuracy, dropout, sums."""

import numpy as np
from numba import njit

from dltrain.ops.cpu.functions import F, exp, log
from dltrain.ops.cpu.patches import OPTIONS, U
from dltrain.ops.cpu.scratch import LINE

TINY = F(np.finfo(np.float32).tiny)
M0, M1, W0, W1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57), np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
NAN = F(np.nan)  # what a label that is no class makes, so that the run stops instead of reaching into other memory
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(**OPTIONS)
def more(a, b):
    return a if a > b else b


@njit(**OPTIONS)
def largest(a):
    """The greatest number of a row; NaN where the first one is, any other NaN is passed over

    Eight maxima side by side: one after another each comparison would wait for the last.
    """
    top = a[0]
    lanes = (top, top, top, top, top, top, top, top)
    whole = a.size // 8 * 8
    for c in range(0, whole, 8):
        lanes = (
            more(a[c], lanes[0]), more(a[c + 1], lanes[1]), more(a[c + 2], lanes[2]), more(a[c + 3], lanes[3]),
            more(a[c + 4], lanes[4]), more(a[c + 5], lanes[5]), more(a[c + 6], lanes[6]), more(a[c + 7], lanes[7]),
        )  # fmt: skip
    for c in range(whole, a.size):
        top = more(a[c], top)
    for lane in lanes:
        top = more(lane, top)
    return top


@njit(**OPTIONS)
def softmax_rows(x, y):
    """y[r] = exp(x[r] - max x[r]) / sum"""
    for r in range(x.shape[0]):
        a, b = x[r], y[r]
        top = largest(a)
        total = F(0.0)
        for c in range(a.size):
            e = exp(a[c] - top)
            b[c] = e
            total += e
        for c in range(a.size):
            b[c] /= total


@njit(**OPTIONS)
def softmax_rows_dx(y, dy, dx):
    """dx[r] = (dy[r] - sum of dy[r] y[r]) y[r]"""
    for r in range(y.shape[0]):
        a, b, c = y[r], dy[r], dx[r]
        total = F(0.0)
        for i in range(a.size):
            total += a[i] * b[i]
        for i in range(a.size):
            c[i] = (b[i] - total) * a[i]


@njit(**OPTIONS)
def loss_rows(prob, label, ignore, loss):
    """loss[r] = -log max(prob[r, label[r]], least), 0 where the label is `ignore`"""
    for r in range(prob.shape[0]):
        k = label[r]
        known = 0 <= k < prob.shape[1]
        p = F(1.0) if k == ignore else (prob[r, k] if known else NAN)
        loss[r] = -log(TINY if p < TINY else p)


@njit(**OPTIONS)
def loss_rows_dx(prob, label, ignore, scale, dx):
    """dx[r] = (prob[r] - 1[label[r]]) scale, 0 where the label is `ignore`"""
    for r in range(prob.shape[0]):
        a, b = prob[r], dx[r]
        k = label[r]
        known = 0 <= k < a.size
        s = scale if known else NAN
        for c in range(a.size):
            b[c] = F(0.0) if k == ignore else a[c] * s
        if known and k != ignore:
            b[k] -= s


@njit(**OPTIONS)
def hit_rows(x, label, ignore, top_k, hit):
    """hit[r] = 1 where fewer than top_k other classes score at least as high as the label's"""
    for r in range(x.shape[0]):
        k = label[r]
        if k == ignore:
            hit[r] = F(0.0)
            continue
        if not 0 <= k < x.shape[1]:
            hit[r] = NAN
            continue
        own, rivals = x[r, k], -1
        for c in range(x.shape[1]):
            rivals += 0 if x[r, c] < own else 1  # NaN is no less than anything
        hit[r] = F(1.0) if rivals < top_k else F(0.0)


@njit(**OPTIONS)
def add_rows(at, y, w):
    """w[at[i]] += y[i], one after another; each index has been held against the rows of w on the way forward"""
    for i in range(at.size):
        a, b = y[i], w[at[i]]
        for c in range(a.size):
            b[c] += a[c]


@njit(**OPTIONS)
def add_column(y, b):
    """y[o, n] += b[o]"""
    for o in range(y.shape[0]):
        row, value = y[o], b[o]
        for n in range(row.size):
            row[n] += value


@njit(**OPTIONS)
def turn(made, y, low):
    """y[n, low + o] = made[o, n], LINE outputs at a time"""
    O, N = made.shape
    source, target, pitch, apart = made.reshape(-1), y.reshape(-1), U(y.shape[1]), U(N)
    for first in range(0, O, LINE):
        width = U(min(LINE, O - first))
        for n in range(U(N)):
            row, column = target[n * pitch + U(low + first) :], source[U(first) * apart + n :]
            for o in range(width):
                row[o] = column[o * apart]


@njit(**OPTIONS)
def square_sum(g):
    """sum of g^2: float32 over blocks of 4096, float64 over the blocks"""
    total = 0.0
    for start in range(0, g.size, 4096):
        block = g[start : min(start + 4096, g.size)]
        part = F(0.0)
        for i in range(block.size):
            part += block[i] * block[i]
        total += np.float64(part)
    return total


@njit(**OPTIONS)
def words(block, count, key, made):
    """Four words of the Philox4x32-10 stream (key, count) for each block from `block` on: dltrain/ops/philox.py"""
    low, high = count & LOW, count >> HIGH
    for b in range(U(made.size // 4)):
        at = block + b
        c0, c1, c2, c3, k0, k1 = at & LOW, at >> HIGH, low, high, key[0], key[1]
        for _ in range(10):
            p0, p1 = c0 * M0, c2 * M1
            c0, c1, c2, c3 = (p1 >> HIGH) ^ c1 ^ k0, p1 & LOW, (p0 >> HIGH) ^ c3 ^ k1, p0 & LOW
            k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
        i = U(4) * b
        made[i], made[i + U(1)], made[i + U(2)], made[i + U(3)] = c0, c1, c2, c3


@njit(**OPTIONS)
def dropout_planes(x, y, first, count, key, least, scale):
    """y[n, p, c] = x scale where the word of its logical index (n, c, p) >= least, else 0; sample 0 here is sample `first`"""
    N, P, C = x.shape
    drawn = np.empty((P * C + 6) // 4 * 4, np.uint32)
    bound = np.uint32(least)
    for n in range(N):
        start = U((first + n) * C * P)
        words(start >> U(2), count, key, drawn)
        w = drawn[start & U(3) :]
        for p in range(P):
            a, b = x[n, p], y[n, p]
            for c in range(C):
                b[c] = a[c] * scale if w[U(c * P + p)] >= bound else F(0.0)
