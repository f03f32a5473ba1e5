"""How many threads of a block work on one line of numbers, as kernels/teams.cuh has it."""

from __future__ import annotations

WARP, MOST = 32, 1024


def power(number: int) -> int:
    """The largest power of two that is not above it."""
    return 1 << max(number, 1).bit_length() - 1


def team_for(length: int) -> int:
    """A warp as soon as that is worth it; more for lines that leave each thread eight numbers or more."""
    return max(min(WARP, power(length // 2)), min(MOST, power(length // 8)))
