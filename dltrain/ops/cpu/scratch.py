"""How a worker's scratch memory is cut into the arrays that one call needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LINE = 16  # floats in a cache line, to which scratch arrays are aligned


def carve(scratch: Any, sizes: list[int]) -> list[Any]:
    """Flat, cache-line aligned parts of the scratch, of the given sizes."""
    at, parts = -scratch.ctypes.data // scratch.itemsize % LINE, []
    for size in sizes:
        parts.append(scratch[at : at + size])
        at += -(-size // LINE) * LINE
    assert at <= len(scratch), "the scratch is too small, and kernels check no bounds"
    return parts


def room(sizes: list[int]) -> int:
    """Floats from which these sizes can be carved."""
    return sum(-(-size // LINE) * LINE for size in sizes) + LINE


class Scratch:
    """A worker's memory for its calls, one after another: as large as the most that any has asked for.

    Calls look at it when they run, so that those bound before it grew do not keep what it was.
    """

    def __init__(self, alloc: Callable[[int, Any], Any]) -> None:
        self.alloc, self.array = alloc, alloc(0, np.float32)

    def bound(self, floats: int, function: Callable[..., None], *args: Any) -> Callable[[], None]:
        """function(*args, scratch) as a kernel, with a scratch of so many floats at least."""
        if len(self.array) < floats:
            self.array = self.alloc(floats, np.float32)
        return lambda: function(*args, self.array)
