"""Random numbers without a state: Philox4x32-10, a pure function of a key and a counter.

Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.  The key comes from the seed and the
purpose; the counter holds the forward count and the logical index of the element, so that layout, chunks and threads do not
matter.  Word i of a stream is word i % 4 of block i // 4.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

M0, M1 = 0xD2511F53, 0xCD9E8D57
W0, W1 = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
HIGH = np.uint64(32)
MANY = 1 << 16  # blocks that are worth a compiled loop
PIECE = 1 << 17  # numbers that are made at a time: what lies between takes little memory

Words = np.ndarray[Any, np.dtype[np.uint32]]


def key(seed: int, purpose: str, rank: int = 0) -> tuple[int, int]:
    """Two 32-bit words for one use of randomness: ("drop1", "order", "filler conv1.weight" …)."""
    digest = hashlib.sha256(f"{seed}/{rank}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def block(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """Ten rounds on four counter words (uint64 arrays holding 32 bits each)."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * np.uint64(M0), c2 * np.uint64(M1)
        c0, c1, c2, c3 = (p1 >> HIGH) ^ c1 ^ np.uint64(k0), p1 & LOW, (p0 >> HIGH) ^ c3 ^ np.uint64(k1), p0 & LOW
        k0, k1 = (k0 + W0) & 0xFFFFFFFF, (k1 + W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


def words(key: tuple[int, int], count: int, size: int, start: int = 0) -> Words:
    """`size` 32-bit words of the stream (key, count), from word `start` on."""
    first, number = start // 4, (start + size + 3) // 4 - start // 4
    quads = many_blocks(key, count, first, number) if number >= MANY else few_blocks(key, count, first, number)
    return quads.reshape(-1)[start % 4 : start % 4 + size]


def few_blocks(key: tuple[int, int], count: int, first: int, number: int) -> Words:
    """(number, 4) words from block `first` on, all rounds of all blocks together."""
    blocks = np.arange(first, first + number, dtype=np.uint64)
    counter = (blocks & LOW, blocks >> HIGH, np.uint64(count & 0xFFFFFFFF), np.uint64(count >> 32))
    return np.stack(np.broadcast_arrays(*block(counter, key)), axis=-1).astype(np.uint32)


def many_blocks(key: tuple[int, int], count: int, first: int, number: int) -> Words:
    """The same by a compiled loop, where Numba is there."""
    try:
        from dltrain.ops.cpu.words import blocks
    except ImportError:
        return few_blocks(key, count, first, number)
    made: Words = blocks(key, count, first, number)
    return made


def uniform(key: tuple[int, int], count: int, size: int, start: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`size` numbers in [0, 1), 53 bits each, from number `start` of the stream on."""
    made = np.empty(size)
    for low in range(0, size, PIECE):
        part = made[low : low + PIECE]
        pairs = words(key, count, 2 * len(part), 2 * (start + low)).reshape(-1, 2)
        np.multiply(pairs[:, 0] >> np.uint32(5), 67108864.0, out=part)
        part += pairs[:, 1] >> np.uint32(6)
        part /= 9007199254740992.0
    return made


def normal(key: tuple[int, int], count: int, size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`size` numbers of the standard normal distribution: r = sqrt(-2 log(1 - u)), angle 2 pi v (Box & Muller 1958)."""
    half = (size + 1) // 2
    made = np.empty((2, half))
    for low in range(0, half, PIECE):
        top = min(low + PIECE, half)
        u, v = uniform(key, count, top - low, low), uniform(key, count, top - low, half + low)
        r, angle = np.sqrt(-2.0 * np.log1p(-u)), 2.0 * np.pi * v
        made[:, low:top] = r * np.cos(angle), r * np.sin(angle)
    return made.reshape(-1)[:size]


def permutation(key: tuple[int, int], count: int, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """An order of 0 .. size - 1: the ranks of random 64-bit numbers (ties keep their order)."""
    pairs = words(key, count, 2 * size).reshape(size, 2).astype(np.uint64)
    return np.argsort((pairs[:, 0] << HIGH) | pairs[:, 1], kind="stable")
