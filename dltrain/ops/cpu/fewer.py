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
MANY = 128  # of a chunk where the weights fill the cache by themselves
LARGE = 5 << 12  # weights of one place of a tile from which that is so
HELD = 1 << 20  # transformed weights that a worker may hold; beyond that it transforms them block by block, for each chunk anew
SUMS = 5 << 19  # sums of the gradient that a worker may hold for the larger tiles: each chunk goes over all of them

PLAIN = {True: 9.2, False: 12.0}  # what the plain way costs for each product of an output, by whether vectors come in pairs
CHANGE = {2: 210, 4: 700}  # what the transforms of a tile cost, for each channel of x and of y
WEIGHTS = {  # what a weight costs that is packed (0) or transformed
    "forward": {0: 600, 2: 480, 4: 750}, "backward": {0: 620, 2: 270, 4: 520}, "gradient": {0: 420, 2: 580, 4: 1060},
}  # fmt: skip
ADDING = 1.15  # what a product of the gradient costs, which is added to what lies in memory
SAMPLES = 32  # that a worker may have; not how many it has, or a sample's result would depend on the others

Sizes = tuple[int, ...]


def size_of_tiles(geometry: Geometry, x_shape: Sizes, w_shape: Sizes, way: str) -> int:
    """m of F(m x m, 3 x 3), or 0 where it does not pay; costs are in products, those of the transforms measured on Zen 5."""
    plane, (O, KH, KW, C) = geometry.plane(*x_shape[1:3]), w_shape
    fits = (KH, KW) == (3, 3) and geometry.stride == geometry.dilation == (1, 1) and max(geometry.pad) <= 2
    outputs = O // geometry.group
    if not fits or geometry.strict or C % LANES or outputs % LANES:
        return 0
    costs = {0: (PLAIN[min(C, outputs) > LANES] * prod(plane) + WEIGHTS[way][0] / SAMPLES) * C * outputs}
    for m in (2, 4):
        if way == "gradient" and m == 4 and (m + 2) ** 2 * C * O > SUMS:
            continue
        tiles = prod(-(-size // m) for size in (x_shape[1:3] if way == "backward" else plane))
        products = (m + 2) ** 2 * C * outputs * (ADDING if way == "gradient" else 1)
        costs[m] = tiles * (products + CHANGE[m] * (C + outputs)) + WEIGHTS[way][m] * C * outputs / SAMPLES
    return min(costs, key=lambda m: costs[m])


def up(size: int, m: int) -> int:
    return -(-size // m) * m


@lru_cache(maxsize=256)
def tables(plane: Sizes, chunk: int, m: int, image: Sizes, results: int, channels: int) -> Any:
    """Corners of tiles in bordered images (H,W,C), their places in y, how much of each is inside, offsets of rows of V."""
    rows, columns = np.arange(0, plane[0], m), np.arange(0, plane[1], m)
    corners = grid(chunk, rows, columns, image[0], image[1], image[2])
    targets = grid(chunk, rows, columns, plane[0], plane[1], results)
    heights = np.tile(np.repeat(plane[0] - rows, len(columns)), chunk)
    widths = np.tile(plane[1] - columns, len(rows) * chunk)
    each = np.arange(len(corners), dtype=np.int64)
    return corners, targets, heights, widths, each * channels, np.zeros(1, np.int64)


class Fewer:
    """One convolution of these shapes, x (N,H,W,C) and w (O,3,3,C/G): forward, its gradient by x, which is one of dy, or by w."""

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, m: int, way: str) -> None:
        N, *size = x_shape[:3]
        inputs, outputs = x_shape[3], w_shape[0]
        plane, self.corner = geometry.plane(*size), geometry.pad
        if way == "backward":
            inputs, outputs, plane = outputs, inputs, (size[0], size[1])
            self.corner = 2 - geometry.pad[0], 2 - geometry.pad[1]
        self.m, self.groups, self.forward = m, geometry.group, way != "backward"
        inner = inputs // self.groups, outputs // self.groups
        self.channels = (*inner, self.groups)
        tiles = prod(-(-size // m) for size in plane)
        self.chunk = min(max(1, N), max(1, (MANY if prod(inner) > LARGE else TILES) // tiles))
        self.image = (self.chunk, *(up(size, m) + 2 for size in plane), inputs)
        self.slope = (self.chunk, *(up(size, m) for size in plane), outputs)
        self.tables = tables(plane, self.chunk, m, self.image[1:], outputs, inner[0])
        rows, columns = (np.arange(0, size, m) for size in plane)
        self.corners_dy = grid(self.chunk, rows, columns, self.slope[1], self.slope[2], outputs)
        places = (m + 2) ** 2
        held = places * (prod(inner) + GAP) * self.groups
        self.block = 0
        if way != "gradient" and held > HELD:
            self.block = min(inner[1], max(PAIR, HELD // (places * inner[0]) // PAIR * PAIR))
            held = places * (inner[0] * self.block + GAP)
        self.sizes = [places * (tiles * self.chunk * count + GAP) + 2 * ROWS for count in (inner[0], self.block or inner[1])]
        self.sizes += [prod(self.image), held, prod(self.slope) if way == "gradient" else outputs + PAIR]

    def parts(self, scratch: Any) -> tuple[Any, ...]:
        """V, M, the bordered image, the weights, and the biases (or dy with whole tiles)."""
        V, M, image, U, last = carve(scratch, self.sizes)
        return V, M, image.reshape(self.image), U, last

    def run(self, w: Any, b: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, y), or run(dy, dx)"""
        V, M, image, U, bias = self.parts(scratch)
        bias[:] = 0
        if b is not None:
            bias[: len(b)] = b
        size = len(U) // self.groups
        for g, part in enumerate(np.split(w, self.groups) if not self.block else ()):
            transform_weights(part, self.forward, 0, U[g * size : (g + 1) * size], self.m)
        return lambda x, y: winograd_chunks(
            x, image, self.corner, self.tables, self.channels, w, self.forward, self.block, U, bias, y, V, M, self.chunk, self.m
        )

    def gradient(self, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, dy) adds to the gradient of the weights, which `collect` fetches."""
        V, W, image, total, last = self.parts(scratch)
        clear(total)
        slope = last.reshape(self.slope)
        return lambda x, dy: winograd_gather(
            x, image, self.corner, self.tables, dy, slope, self.corners_dy, self.channels, total, V, W, self.chunk, self.m
        )

    def collect(self, scratch: Any, dw: Any) -> None:
        total = self.parts(scratch)[3]
        size = len(total) // self.groups
        for g, part in enumerate(np.split(dw, self.groups)):
            collect_weights(total[g * size : (g + 1) * size], part, self.m)
