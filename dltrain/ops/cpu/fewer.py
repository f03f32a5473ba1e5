"""Which 3 x 3 convolutions Winograd's transforms do with fewer products, and their share of the scratch.

The error of F(2 x 2) is that of the plain sums, about 1e-6 of the largest value; that of F(4 x 4) about ten times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from dltrain.ops.cpu.scratch import carve
from dltrain.ops.cpu.sweeps import PAIR, clear
from dltrain.ops.cpu.tiled import grid
from dltrain.ops.cpu.tiles import LANES, ROWS
from dltrain.ops.cpu.winograd import GAP, collect_weights, transform_weights, winograd_chunks, winograd_gather

if TYPE_CHECKING:
    from dltrain.ops.cpu.convolution import Geometry

TILES = 64  # of a chunk, if there are enough images
MANY = 256  # of a chunk where the weights fill the cache by themselves
LARGE = 1 << 15  # weights of one place of a tile from which that is so

CHANGE = {2: 230, 4: 990}  # what the transforms of a tile cost, for each channel of x and of y
WEIGHTS = {("forward", 2): 4300, ("forward", 4): 6200, ("backward", 2): 1800, ("backward", 4): 3700,
           ("gradient", 2): 9100, ("gradient", 4): 12800}  # what the transform of a weight costs  # fmt: skip
SAMPLES = 64  # that a worker may have; not how many it has, or a sample's result would depend on the others

Sizes = tuple[int, ...]


def size_of_tiles(geometry: Geometry, x_shape: Sizes, w_shape: Sizes, way: str) -> int:
    """m of F(m x m, 3 x 3), or 0 where it does not pay; costs are in products, those of the transforms measured on Zen 5."""
    plane, (O, KH, KW, C) = geometry.plane(*x_shape[1:3]), w_shape
    fits = (KH, KW) == (3, 3) and geometry.stride == geometry.dilation == (1, 1) and max(geometry.pad) <= 2
    outputs = O // geometry.group
    if not fits or geometry.strict or C % LANES or outputs % LANES:
        return 0
    costs = {0: (9.9 if min(C, outputs) > LANES else 12.0) * prod(plane) * C * outputs}
    for m in (2, 4):
        tiles = prod(-(-size // m) for size in (x_shape[1:3] if way == "backward" else plane))
        products, change = (m + 2) ** 2 * C * outputs, CHANGE[m] * (C + outputs)
        costs[m] = tiles * (products + change) + WEIGHTS[way, m] * C * outputs / SAMPLES
    return min(costs, key=lambda m: costs[m])


def up(size: int, m: int) -> int:
    return -(-size // m) * m


@lru_cache(maxsize=256)
def tables(plane: Sizes, chunk: int, m: int, image: Sizes, results: int, channels: Sizes) -> Any:
    """Corners of tiles in bordered images (H,W,C), their places in y, how much of each is inside, offsets of rows of V and M."""
    rows, columns = np.arange(0, plane[0], m), np.arange(0, plane[1], m)
    corners = grid(chunk, rows, columns, image[0], image[1], image[2])
    targets = grid(chunk, rows, columns, plane[0], plane[1], results)
    heights = np.tile(np.repeat(plane[0] - rows, len(columns)), chunk)
    widths = np.tile(plane[1] - columns, len(rows) * chunk)
    each = np.arange(len(corners), dtype=np.int64)
    steps = (each * channels[0], each * channels[1])
    return corners, targets, heights, widths, steps, np.zeros(1, np.int64)


class Fewer:
    """One convolution of these shapes, x (N,H,W,C) and w (O,3,3,C/G), or (back) its gradient by x, which is one of dy."""

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, m: int, back: bool = False) -> None:
        N, *size = x_shape[:3]
        inputs, outputs = x_shape[3], w_shape[0]
        plane, self.corner = geometry.plane(*size), geometry.pad
        if back:
            inputs, outputs, plane = outputs, inputs, (size[0], size[1])
            self.corner = 2 - geometry.pad[0], 2 - geometry.pad[1]
        self.m, self.groups, self.back = m, geometry.group, back
        inner = inputs // self.groups, outputs // self.groups
        self.channels = (*inner, self.groups)
        tiles = prod(-(-size // m) for size in plane)
        self.chunk = min(max(1, N), max(1, (MANY if prod(inner) > LARGE else TILES) // tiles))
        self.image = (self.chunk, *(up(size, m) + 2 for size in plane), inputs)
        self.slope = (self.chunk, *(up(size, m) for size in plane), outputs)
        self.tables = tables(plane, self.chunk, m, self.image[1:], outputs, inner)
        rows, columns = (np.arange(0, size, m) for size in plane)
        self.corners_dy = grid(self.chunk, rows, columns, self.slope[1], self.slope[2], outputs)
        places = (m + 2) ** 2
        self.sizes = [places * (tiles * self.chunk * count + GAP) + 2 * ROWS for count in inner]
        self.sizes += [prod(self.image), places * (prod(inner) + GAP) * self.groups, max(outputs + PAIR, prod(self.slope))]

    def parts(self, scratch: Any) -> tuple[Any, ...]:
        """V, M, the bordered image, the weights, and the biases (or dy with whole tiles)."""
        V, M, image, U, last = carve(scratch, self.sizes)
        return V, M, image.reshape(self.image), U, last

    def run(self, w: Any, b: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, y), or run(dy, dx)"""
        V, M, image, U, last = self.parts(scratch)
        bias = last[: self.channels[1] * self.groups + PAIR]
        bias[:] = 0
        if b is not None:
            bias[: len(b)] = b
        size = len(U) // self.groups
        for g, part in enumerate(np.split(w, self.groups)):
            transform_weights(part, not self.back, U[g * size : (g + 1) * size], self.m)
        return lambda x, y: winograd_chunks(
            x, image, self.corner, self.tables, self.channels, U, bias, y, V, M, self.chunk, self.m
        )

    def gradient(self, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, dy) adds to the gradient of the weights, which `collect` fetches."""
        V, W, image, total, last = self.parts(scratch)
        clear(total)
        slope = last[: prod(self.slope)].reshape(self.slope)
        return lambda x, dy: winograd_gather(
            x, image, self.corner, self.tables, dy, slope, self.corners_dy, self.channels, total, V, W, self.chunk, self.m
        )

    def collect(self, scratch: Any, dw: Any) -> None:
        total = self.parts(scratch)[3]
        size = len(total) // self.groups
        for g, part in enumerate(np.split(dw, self.groups)):
            collect_weights(total[g * size : (g + 1) * size], part, self.m)
