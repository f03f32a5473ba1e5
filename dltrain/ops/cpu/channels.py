"""Kernels that work on one channel at a time, for channels innermost in memory: the sums and the arithmetic of BatchNorm.

Sums go over blocks of rows in float32, and over the blocks in float64, always in order: they do not depend on who did which.
Rows are short (a channel count), so several lie side by side in one loop: `repeated` is a row of channel values written out so
often.  Results go through `made`, a piece at a time: where they take over their input's memory, a loop from one to the other is
not vectorised.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS

F = np.float32
WIDE = 512  # numbers in one inner loop, about
BLOCK = 256  # rows that are summed in float32, at least


@njit(**OPTIONS)
def repeated(row):
    """The row, written out as often as fits in WIDE numbers, at least once."""
    C = row.size
    made = np.empty(C * max(1, WIDE // C), np.float32)
    for i in range(made.size):
        made[i] = row[i % C]
    return made


@njit(**OPTIONS)
def folded(many, row, scale):
    """row[c] = scale times the sum of `many` at c, C + c, 2C + c, …"""
    C = row.size
    for c in range(C):
        row[c] = F(0.0)
    for start in range(0, many.size, C):
        part = many[start : start + C]
        for c in range(C):
            row[c] += part[c]
    for c in range(C):
        row[c] *= scale


@njit(**OPTIONS)
def block_moments(x, rows, means, squares):
    """Of each block of `rows` rows of x (R, C): means[b] = its mean, squares[b] = sum of (x - its mean)^2, by channel"""
    R, C = x.shape
    flat = x.reshape(-1)
    total = np.empty(C * max(1, WIDE // C), np.float32)
    L = total.size
    for b in range(means.shape[0]):
        block = flat[b * rows * C : min((b + 1) * rows, R) * C]
        for i in range(L):
            total[i] = F(0.0)
        for start in range(0, block.size, L):
            part = block[start : min(start + L, block.size)]
            for i in range(part.size):
                total[i] += part[i]
        folded(total, means[b], F(C / max(1, block.size)))
        middle = repeated(means[b])
        for i in range(L):
            total[i] = F(0.0)
        for start in range(0, block.size, L):
            part = block[start : min(start + L, block.size)]
            for i in range(part.size):
                total[i] += (part[i] - middle[i]) * (part[i] - middle[i])
        folded(total, squares[b], F(1.0))


@njit(**OPTIONS)
def normalise(x, mean, rate, bias, y):
    """y = (x - mean) rate + bias, of rows x (R, C)"""
    source, target = x.reshape(-1), y.reshape(-1)
    m, a, b = repeated(mean), repeated(rate), repeated(bias)
    L = m.size
    made = np.empty(L, np.float32)
    for start in range(0, source.size, L):
        p, q = source[start : min(start + L, source.size)], target[start : min(start + L, source.size)]
        for i in range(p.size):
            made[i] = (p[i] - m[i]) * a[i] + b[i]
        for i in range(p.size):
            q[i] = made[i]


@njit(**OPTIONS)
def block_sums(x, dy, mean, rows, totals, alongs):
    """Of each block of `rows` rows: totals[b] = sum of dy, alongs[b] = sum of dy (x - mean), by channel"""
    R, C = x.shape
    source, slope = x.reshape(-1), dy.reshape(-1)
    m = repeated(mean)
    L = m.size
    total, along = np.empty(L, np.float32), np.empty(L, np.float32)
    for b in range(totals.shape[0]):
        first, last = b * rows * C, min((b + 1) * rows, R) * C
        for i in range(L):
            total[i] = F(0.0)
            along[i] = F(0.0)
        for start in range(first, last, L):
            p, g = source[start : min(start + L, last)], slope[start : min(start + L, last)]
            for i in range(p.size):
                total[i] += g[i]
                along[i] += g[i] * (p[i] - m[i])
        folded(total, totals[b], F(1.0))
        folded(along, alongs[b], F(1.0))


@njit(**OPTIONS)
def slope_back(x, dy, mean, rate, push, pull, dx):
    """dx = rate dy - push - pull (x - mean), of rows (R, C)"""
    source, slope, target = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    m, a, b, c = repeated(mean), repeated(rate), repeated(push), repeated(pull)
    L = m.size
    made = np.empty(L, np.float32)
    for start in range(0, source.size, L):
        last = min(start + L, source.size)
        p, g, q = source[start:last], slope[start:last], target[start:last]
        for i in range(p.size):
            made[i] = a[i] * g[i] - b[i] - c[i] * (p[i] - m[i])
        for i in range(p.size):
            q[i] = made[i]
