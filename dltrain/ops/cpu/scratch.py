"""How a worker's scratch memory is cut into the arrays that one call needs."""

from __future__ import annotations

from typing import Any

LINE = 16  # floats in a cache line, to which scratch arrays are aligned


def carve(scratch: Any, sizes: list[int]) -> list[Any]:
    """Flat, cache-line aligned parts of the scratch, of the given sizes."""
    at, parts = -scratch.ctypes.data // scratch.itemsize % LINE, []
    for size in sizes:
        parts.append(scratch[at : at + size])
        at += -(-size // LINE) * LINE
    return parts


def room(sizes: list[int]) -> int:
    """Floats from which these sizes can be carved."""
    return sum(-(-size // LINE) * LINE for size in sizes) + LINE
