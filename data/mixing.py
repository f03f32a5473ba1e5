"""Sums over channels and over whole samples, always in the same order, whatever the batch is made of.  Numba kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.data.resample import F, frozen, kernel


def mean_brightness(x: Any, weights: Any) -> Any:
    """(N) float64: the mean over the pixels of x (N, C, H, W) of the weighted sum of channels"""
    total = np.empty(x.shape[:2])
    add_up(frozen(x.reshape(*x.shape[:2], -1)), total)
    return (total / max(1, x[0, 0].size) * weights).sum(axis=1)


def mixed(x: Any, matrix: Any, offset: Any) -> Any:
    """y[n, c] = sum over d of matrix[n, c, d] x[n, d] + offset[n, c]"""
    y = np.empty(x.shape, F)
    planes = (*x.shape[:2], -1)
    mix(frozen(x.reshape(planes)), frozen(matrix.astype(F)), frozen(offset.astype(F)), y.reshape(planes))
    return y


def product(x: Any, w: Any) -> Any:
    """x w, each number summed in the order of the rows of w: that of a BLAS depends on how many rows x has."""
    y = np.zeros((len(x), w.shape[1]), F)
    multiply(frozen(x), frozen(w), y)
    return y


@kernel
def add_up(x: Any, total: Any) -> None:
    """total[n, c] = sum of x[n, c], in float64"""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            s, row = 0.0, x[n, c]
            for i in range(row.size):
                s += row[i]
            total[n, c] = s


@kernel
def mix(x: Any, matrix: Any, offset: Any, y: Any) -> None:
    for n in range(x.shape[0]):
        for c in range(y.shape[1]):
            made, at = y[n, c], offset[n, c]
            for i in range(made.size):
                made[i] = at
            for d in range(x.shape[1]):
                row, m = x[n, d], matrix[n, c, d]
                for i in range(made.size):
                    made[i] += m * row[i]


DEPTH, COLUMNS = 256, 512  # of w, together: 512 KiB, which stay in the cache while all rows of x go by


@kernel
def multiply(x: Any, w: Any, y: Any) -> None:
    """y += x w, a block of w at a time and four of its rows at once"""
    for j in range(0, y.shape[1], COLUMNS):
        end = min(j + COLUMNS, y.shape[1])
        for low in range(0, len(w), DEPTH):
            high = min(low + DEPTH, len(w))
            whole = low + (high - low) // 4 * 4
            for n in range(len(x)):
                made = y[n, j:end]
                for k in range(low, whole, 4):
                    a, b, c, d = w[k, j:end], w[k + 1, j:end], w[k + 2, j:end], w[k + 3, j:end]
                    s, t, u, v = x[n, k], x[n, k + 1], x[n, k + 2], x[n, k + 3]
                    for i in range(made.size):
                        made[i] = made[i] + s * a[i] + t * b[i] + u * c[i] + v * d[i]
                for k in range(whole, high):
                    a, s = w[k, j:end], x[n, k]
                    for i in range(made.size):
                        made[i] += s * a[i]
