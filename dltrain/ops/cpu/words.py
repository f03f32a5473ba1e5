"""The words of a Philox stream, one block after another: NumPy would go over all of them some hundred times."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dltrain.ops import philox

U = np.uint64
LOW, HIGH = U(0xFFFFFFFF), U(32)
M0, M1, W0, W1 = U(philox.M0), U(philox.M1), U(philox.W0), U(philox.W1)


def blocks(key: tuple[int, int], count: int, first: int, number: int) -> Any:
    """(number, 4) words: blocks first .. first + number - 1 of the stream (key, count)"""
    made = np.empty((number, 4), np.uint32)
    fill(U(key[0]), U(key[1]), U(count & 0xFFFFFFFF), U(count >> 32), U(first), made)
    return made


@njit(nogil=True, cache=True)
def fill(key0: Any, key1: Any, low: Any, high: Any, first: Any, made: Any) -> None:
    """The rounds of philox.block, one block at a time."""
    for number in range(made.shape[0]):
        at = first + U(number)
        c0, c1, c2, c3 = at & LOW, at >> HIGH, low, high
        k0, k1 = key0, key1
        for _ in range(10):
            p0, p1 = c0 * M0, c2 * M1
            c0, c1, c2, c3 = (p1 >> HIGH) ^ c1 ^ k0, p1 & LOW, (p0 >> HIGH) ^ c3 ^ k1, p0 & LOW
            k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
        made[number, 0], made[number, 1], made[number, 2], made[number, 3] = c0, c1, c2, c3
