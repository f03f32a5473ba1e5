"""As many random numbers as a picture needs, from the two that a step is given for it: Philox again.  Numba kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dltrain.data.resample import F, U, frozen, kernel
from dltrain.ops import philox

LOW, HIGH = U(0xFFFFFFFF), U(32)
M0, M1, W0, W1 = U(philox.M0), U(philox.M1), U(philox.W0), U(philox.W1)
STEP, TURN = F(2.0**-24), F(2 * math.pi)


@kernel
def block(first: Any, second: Any, number: Any) -> Any:
    """The four words of philox.block with the counter (first, second, number, 0) and the key 0."""
    c0, c1, c2, c3, k0, k1 = first, second, number, U(0), U(0), U(0)
    for _ in range(10):
        p0, p1 = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (p1 >> HIGH) ^ c1 ^ k0, p1 & LOW, (p0 >> HIGH) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@kernel
def fill(counters: Any, normal: bool, y: Any) -> None:
    """Row n of y (N, M), from counters[n]: even in [0, 1), 24 bits each, or normal: r = sqrt(-2 log(1 - u)), angle 2 pi v"""
    for n in range(y.shape[0]):
        for b in range((y.shape[1] + 3) // 4):
            words = block(counters[n, 0], counters[n, 1], U(b))
            for pair in range(2):
                u, v = F(words[2 * pair] >> U(8)) * STEP, F(words[2 * pair + 1] >> U(8)) * STEP
                if normal:
                    r, angle = F(math.sqrt(F(-2.0) * math.log(F(1.0) - u))), TURN * v
                    u, v = r * F(math.cos(angle)), r * F(math.sin(angle))
                at = 4 * b + 2 * pair
                if at < y.shape[1]:
                    y[n, at] = u
                if at + 1 < y.shape[1]:
                    y[n, at + 1] = v


def scattered(u: Any, shape: tuple[int, ...], normal: bool = False) -> Any:
    """(N, *shape) float32 numbers from the first two of u (N, 2 or more): even in [0, 1), or of the normal distribution."""
    counters = frozen((np.asarray(u, np.float64)[:, :2] * 2.0**32).astype(np.uint64))
    y = np.empty((len(counters), math.prod(shape)), F)
    fill(counters, normal, y)
    return y.reshape(len(y), *shape)
