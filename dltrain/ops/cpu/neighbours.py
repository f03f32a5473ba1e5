"""LRN across channels, for channels innermost in memory: sums over a few neighbours in a row."""

import math

import numpy as np
from numba import njit

from dltrain.ops.cpu.functions import F
from dltrain.ops.cpu.patches import OPTIONS


@njit(**OPTIONS)
def lowered(local, beta, made):
    """made = local^-beta; the usual 3/4 by two roots, for which processors have an instruction"""
    if beta == F(0.75):
        for i in range(local.size):
            root = F(math.sqrt(local[i]))
            made[i] = F(1.0) / (root * F(math.sqrt(root)))
    else:
        for i in range(local.size):
            made[i] = F(local[i] ** -beta)


@njit(**OPTIONS)
def around(wide, size, total):
    """total[c] = wide[c] + … + wide[c + size - 1]"""
    for c in range(total.size):
        total[c] = wide[c]
    for t in range(1, size):
        moved = wide[t : t + total.size]
        for c in range(total.size):
            total[c] += moved[c]


@njit(**OPTIONS)
def lrn_rows(x, local, y, size, rate, beta, offset):
    """local = offset + rate sum of x^2 over `size` neighbours;   y = x local^-beta, of each row"""
    C = x.shape[1]
    wide, total, power = np.zeros(C + size - 1, np.float32), np.empty(C, np.float32), np.empty(C, np.float32)
    middle = wide[size // 2 : size // 2 + C]
    for r in range(x.shape[0]):
        a, b, c = x[r], local[r], y[r]
        for i in range(C):
            middle[i] = a[i] * a[i]
        around(wide, size, total)
        for i in range(C):
            total[i] = offset + rate * total[i]
        lowered(total, beta, power)
        for i in range(C):
            power[i] *= a[i]
        for i in range(C):
            b[i] = total[i]
        for i in range(C):
            c[i] = power[i]


@njit(**OPTIONS)
def lrn_rows_dx(x, local, dy, dx, size, rate, beta):
    """dx = dy local^-beta - 2 rate beta x (sum of dy x local^(-beta - 1) over the neighbours), of each row"""
    C = x.shape[1]
    wide, total, power = np.zeros(C + size - 1, np.float32), np.empty(C, np.float32), np.empty(C, np.float32)
    middle = wide[size // 2 : size // 2 + C]
    factor = F(2.0) * rate * beta
    for r in range(x.shape[0]):
        a, b, g, c = x[r], local[r], dy[r], dx[r]
        lowered(b, beta, power)
        for i in range(C):
            power[i] *= g[i]
        for i in range(C):
            middle[i] = power[i] * a[i] / b[i]
        around(wide, size, total)
        for i in range(C):
            power[i] -= factor * a[i] * total[i]
        for i in range(C):
            c[i] = power[i]
