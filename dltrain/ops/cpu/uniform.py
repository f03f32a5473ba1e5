"""Random numbers of a few samples, all in one call: NumPy would need some hundred calls for ten rounds of Philox."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dltrain.ops import philox

U = np.uint64
LOW, HIGH = U(0xFFFFFFFF), U(32)
M0, M1, W0, W1 = U(philox.M0), U(philox.M1), U(philox.W0), U(philox.W1)


def uniform(indices: Any, epochs: Any, keys: list[tuple[int, int]], numbers: list[int]) -> Any:
    """(M, N) numbers in [0, 1): [m, n] is the first word of philox.block((indices[n], epochs[n], numbers[m], 0), keys[m])"""
    y = np.empty((len(keys), len(indices)))
    fill(*(np.ascontiguousarray(each, U) for each in (indices, epochs, numbers, keys)), y)
    return y


@njit(nogil=True, cache=True)
def fill(indices: Any, epochs: Any, numbers: Any, keys: Any, y: Any) -> None:
    """The rounds of philox.block, one number at a time."""
    for m in range(y.shape[0]):
        for n in range(y.shape[1]):
            c0, c1, c2, c3 = indices[n], epochs[n], numbers[m], U(0)
            k0, k1 = keys[m, 0], keys[m, 1]
            for _ in range(10):
                p0, p1 = c0 * M0, c2 * M1
                c0, c1, c2, c3 = (p1 >> HIGH) ^ c1 ^ k0, p1 & LOW, (p0 >> HIGH) ^ c3 ^ k1, p0 & LOW
                k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
            y[m, n] = c0 / 4294967296.0
