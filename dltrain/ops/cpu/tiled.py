"""Convolution by the tile kernels: where the windows lie, in which order the taps come, and which layers this is for.

The gradient by x is a convolution, too: of dy with the taps in reverse.  With stride s that is one for each of the s x s places
that x's rows and columns have modulo s, each with the taps that meet it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dltrain.ops.cpu.scratch import carve
from dltrain.ops.cpu.sweeps import PAIR, clear, gather_chunks, pack, sweep_chunks, unpack
from dltrain.ops.cpu.tiles import LANES, ROWS

if TYPE_CHECKING:
    from dltrain.ops.cpu.convolution import Geometry

PLACES = 256  # a chunk has at least so many places, if there are enough images
PRODUCTS = 1 << 18  # a sample needs so many, or the patches of convolution.py are as good and compile faster
NARROW = 6  # channels in a group below which most of a vector is empty

Sizes = tuple[int, ...]


class Table(NamedTuple):
    """What sweep_chunks takes: `kernels` are (places, targets, taps, run) and what meets what; `order` is that of the taps in
    packed weights."""

    kernels: tuple[Any, ...]
    order: Any
    plane: int  # places of an image


class Frame(NamedTuple):
    """The chunk of images inside their border: its shape, where the image begins in it, and whether a copy is needed at all."""

    shape: Sizes
    corner: tuple[int, int]
    needed: bool


def suits(geometry: Geometry, x_shape: Sizes, w_shape: Sizes) -> bool:
    """Whether the tile kernels take this layer."""
    products = prod(geometry.plane(*x_shape[1:3])) * prod(w_shape)
    return products >= PRODUCTS and w_shape[0] // geometry.group >= NARROW


class Taps(NamedTuple):
    """Where runs begin, their length, and the row that each is in (nothing where a run goes over several)."""

    offsets: Any
    run: int
    rows: Any


def merged(offsets: list[int], rows: list[int], run: int) -> Taps:
    """Longer runs where equally many taps always follow on one another."""
    breaks = [at for at in range(len(offsets)) if not at or offsets[at] != offsets[at - 1] + run]
    lengths = {b - a for a, b in zip(breaks, [*breaks[1:], len(offsets)], strict=True)}
    if len(lengths) != 1:
        return apart(offsets, rows, run)
    length = lengths.pop()
    level = all(rows[at] == rows[at + length - 1] for at in breaks)
    return Taps(np.array([offsets[at] for at in breaks], np.int64), run * length, np.array([rows[at] for at in breaks if level]))


def apart(offsets: list[int], rows: list[int], run: int) -> Taps:
    return Taps(np.array(offsets, np.int64), run, np.array(rows, np.int64))


def grid(images: int, rows: Any, columns: Any, height: int, width: int, channels: int) -> Any:
    """Flat offsets of places (row, column) of all images of this size."""
    n = np.arange(images, dtype=np.int64).reshape(-1, 1, 1) * height
    made = ((n + np.reshape(rows, (1, -1, 1))) * width + np.reshape(columns, (1, 1, -1))) * channels
    return np.ascontiguousarray(made.reshape(-1), np.int64)


def meets(rows: Any, taps: Taps, inside: tuple[int, int], plane: int) -> tuple[Any, ...]:
    """(begin, end) taps of each place, (first, last) place of each tap, that meet rows of the image and not its border alone;
    nothing where all do.  `rows`: of the places of all images; `inside`: the rows that are the image's."""
    number, nothing = len(taps.offsets), (taps.offsets[:0],) * 4
    if len(taps.rows) < number:
        return nothing
    begin, end = (np.searchsorted(taps.rows, row - rows).astype(np.int64) for row in inside)
    if not begin.any() and (end == number).all():
        return nothing
    met = (begin[:plane] <= np.arange(number)[:, None]) & (np.arange(number)[:, None] < end[:plane])
    first = np.where(met.any(1), met.argmax(1), 0)
    return begin, end, first.astype(np.int64), (first + met.sum(1)).astype(np.int64)


def chunk_of(places: int) -> int:
    return max(1, PLACES // max(1, places))


@lru_cache(maxsize=256)
def forward_table(geometry: Geometry, H: int, W: int, C: int, O: int, chunk: int) -> tuple[Table, Frame]:
    """Windows over x, results in y's order."""
    (KH, KW), (sh, sw), pad, (dh, dw), group = geometry[:5]
    OH, OW = geometry.plane(H, W)
    height, width = H + 2 * pad[0], W + 2 * pad[1]
    places = grid(chunk, np.arange(OH) * sh, np.arange(OW) * sw, height, width, C)
    targets = grid(chunk, np.arange(OH), np.arange(OW), OH, OW, O)
    offsets = [(kh * dh * width + kw * dw) * C for kh in range(KH) for kw in range(KW)]
    taps = (merged if group == 1 else apart)(offsets, [kh * dh for kh in range(KH) for _ in range(KW)], C // group)
    frame = Frame((chunk, height, width, C), pad, pad != (0, 0))
    met = meets(np.tile(np.repeat(np.arange(OH) * sh, OW), chunk), taps, (pad[0], pad[0] + H), OH * OW)
    return Table((places, targets, *taps[:2], *met), np.arange(KH * KW), OH * OW), frame


@lru_cache(maxsize=256)
def backward_tables(geometry: Geometry, H: int, W: int, C: int, O: int, chunk: int) -> tuple[list[Table], Frame]:
    """Windows over dy, results in dx's order: a table for each phase."""
    outputs = geometry.plane(H, W)
    before, after = [], []
    for size, out, k, s, p, d in zip((H, W), outputs, *geometry[:4], strict=True):
        before.append(max(0, -(-((k - 1) * d - p) // s)))
        after.append(max(0, (size - 1 + p) // s - out + 1))
    height, width = (b + out + a for b, out, a in zip(before, outputs, after, strict=True))
    tables = []
    for a in range(min(geometry.stride[0], H)):
        for b in range(min(geometry.stride[1], W)):
            rows, columns = np.arange(a, H, geometry.stride[0]), np.arange(b, W, geometry.stride[1])
            places = grid(chunk, np.arange(len(rows)) + before[0], np.arange(len(columns)) + before[1], height, width, O)
            found = sorted((i * width + j, i, kh * geometry.kernel[1] + kw) for i, kh in meeting(geometry, 0, a)
                           for j, kw in meeting(geometry, 1, b))  # fmt: skip
            join = merged if geometry.group == 1 and found else apart
            taps = join([at * O for at, _, _ in found], [i for _, i, _ in found], O // geometry.group)
            order, plane = np.array([tap for _, _, tap in found], np.int64), len(rows) * len(columns)
            seen = np.tile(np.repeat(np.arange(len(rows)) + before[0], len(columns)), chunk)
            met = meets(seen, taps, (before[0], before[0] + outputs[0]), plane)
            targets = grid(chunk, rows, columns, H, W, C)
            tables.append(Table((places, targets, *taps[:2], *met), order, plane))
    return tables, Frame((chunk, height, width, O), (before[0], before[1]), (height, width) != outputs)


def meeting(geometry: Geometry, axis: int, phase: int) -> list[tuple[int, int]]:
    """(how many places of dy further, tap) of the taps that meet the places of x at `phase` modulo the stride."""
    k, s, p, d = (pair[axis] for pair in geometry[:4])
    return [((phase + p - tap * d) // s, tap) for tap in range(k) if (phase + p - tap * d) % s == 0]


def up(size: int) -> int:
    """Whole vectors."""
    return -(-size // LANES) * LANES


class Tiled:
    """One convolution of these shapes, x (N,H,W,C) and w (O,KH,KW,C/G), and its parts of the scratch."""

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry) -> None:
        N, *self.image = x_shape
        self.geometry, self.groups, self.outputs = geometry, geometry.group, w_shape[0]
        self.plane = geometry.plane(*self.image[:2])
        self.patch = prod(w_shape[1:])
        self.chunk = min(max(1, N), chunk_of(prod(self.plane)))
        self.table, self.frame = forward_table(geometry, *self.image, self.outputs, self.chunk)
        inner = self.image[2] // self.groups, self.outputs // self.groups
        if self.table.kernels[3] % (ROWS if inner[1] > LANES else 2 * ROWS):  # `gather` reads behind the last place
            self.frame = self.frame._replace(needed=True)
        self.channels, self.reversed = (*inner, self.groups), (inner[1], inner[0], self.groups)
        self.sizes = [
            prod(self.frame.shape) * self.frame.needed + 2 * ROWS,
            self.groups * up(inner[1]) * self.patch,
            self.outputs + PAIR,
        ]

    @property
    def back(self) -> tuple[list[Table], Frame]:
        return backward_tables(self.geometry, *self.image, self.outputs, self.chunk)

    @property
    def back_sizes(self) -> list[int]:
        """The bordered dy, the weights in reverse, and zeros."""
        frame = self.back[1]
        weights = self.outputs * prod(self.geometry.kernel) * up(self.reversed[1])
        return [prod(frame.shape) * frame.needed, weights, self.image[2] + PAIR]

    def bordered(self, flat: Any, frame: Frame) -> Any:
        return flat[: prod(frame.shape)].reshape(frame.shape) if frame.needed else flat[:0].reshape(0, 1, 1, 1)

    def packed(self, w: Any, order: Any, forward: bool, flat: Any) -> Any:
        """The weights of each group in panels, one group behind another."""
        size = len(flat) // self.groups
        for g, part in enumerate(np.split(w, self.groups)):
            pack(part, order, forward, flat[g * size : (g + 1) * size])
        return flat

    def forward(self, w: Any, b: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, y), of at most a slab of samples"""
        image, packed, bias = carve(scratch, self.sizes)
        bias[:] = 0
        if b is not None:
            bias[: self.outputs] = b
        self.packed(w, self.table.order, True, packed)
        image, kernels = self.bordered(image, self.frame), self.table.kernels
        return lambda x, y: sweep_chunks(
            x, image, self.frame.corner, kernels, self.channels, packed, bias, y, self.chunk, self.table.plane
        )

    def backward(self, w: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(dy, dx)"""
        tables, frame = self.back
        image, packed, nothing = carve(scratch, self.back_sizes)
        nothing[:] = 0
        image, parts, at = self.bordered(image, frame), [], 0
        for table in tables:
            size = len(table.order) * self.outputs * up(self.reversed[1])
            parts.append((table, self.packed(w, table.order, False, packed[at : at + size])))
            at += size

        def run(dy: Any, dx: Any) -> None:
            for table, weights in parts:
                sweep_chunks(dy, image, frame.corner, table.kernels, self.reversed, weights, nothing, dx, self.chunk, table.plane)

        return run

    def gradient(self, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, dy) adds to the gradient of the weights, which `collect` fetches."""
        image, total, _ = carve(scratch, self.sizes)
        clear(total)
        image, kernels = self.bordered(image, self.frame), self.table.kernels
        return lambda x, dy: gather_chunks(
            x, image, self.frame.corner, kernels, self.channels, dy, total, self.chunk, self.table.plane
        )

    def collect(self, scratch: Any, dw: Any) -> None:
        _, total, _ = carve(scratch, self.sizes)
        pitch = up(self.channels[1])
        for part, made in zip(np.split(dw, self.groups), total.reshape(self.groups, -1), strict=True):
            unpack(made, pitch, part.reshape(len(part), -1))
