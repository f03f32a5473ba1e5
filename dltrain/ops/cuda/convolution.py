"""How a GPU convolves images by products in tiles: channels-last memory is read where it lies, nothing is copied out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as pairs
from typing import Any, NamedTuple

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.dense import column_sums, join
from dltrain.ops.cuda.depthwise import alone
from dltrain.ops.cuda.launch import launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import Finish, at_once, cut, head
from dltrain.ops.signature import Call
from dltrain.ops.window import Window

Rows = list[tuple[int, ...]]


def planar(call: Call) -> bool:
    """Two axes, and not each channel by itself."""
    return len(call.args["window"].kernel) == 2 and not alone(call)


class Taps(NamedTuple):
    """Of which places each place is made: see the kernel `gather` for the columns of both tables."""

    taps: Rows
    ways: Rows


def forward_taps(window: Window, x: DeviceArray, y: DeviceArray) -> Taps:
    _, _, width, channels = x.sizes
    depth, rows = channels // window.group, []
    for number, (r, s) in enumerate(pairs(*map(range, window.kernel))):
        down, aside = r * window.steps[0] - window.pad[0], s * window.steps[1] - window.pad[1]
        rows.append((down, aside, (down * width + aside) * channels, number * depth))
    return Taps(rows, [(y.sizes[1], y.sizes[2], 0, 0, 0, len(rows))])


def backward_taps(window: Window, dy: DeviceArray, dx: DeviceArray) -> Taps:
    """Places of dx that are alike modulo the stride are a way: they meet the same taps."""
    taps: Rows = []
    ways: Rows = []
    _, height, width, channels = dx.sizes
    for a, b in pairs(*map(range, window.stride)):
        if a >= height or b >= width:
            continue
        met = []
        for number, (r, s) in enumerate(pairs(*map(range, window.kernel))):
            down, aside = a + window.pad[0] - r * window.steps[0], b + window.pad[1] - s * window.steps[1]
            if down % window.stride[0] == 0 and aside % window.stride[1] == 0:
                down, aside = down // window.stride[0], aside // window.stride[1]
                on = (down * dy.sizes[2] + aside) * dy.sizes[3]
                met.append((down, aside, on, number * (channels // window.group)))
        tall, wide = -(-(height - a) // window.stride[0]), -(-(width - b) // window.stride[1])
        ways.append((tall, wide, a, b, len(taps), len(met)))
        taps += met
    return Taps(taps or [(0, 0, 0, 0)], ways)


def gather(
    cuda: Cuda, x: DeviceArray, w: DeviceArray, bias: Any, y: DeviceArray, window: Window, turned: bool = False,
    finish: Finish | None = None,
) -> list[Kernel]:  # fmt: skip
    """y = conv(x, w, bias), finished; turned, y = conv_dx(w, x)"""
    samples, height, width, channels = x.sizes
    group, depth, columns, step = window.group, channels // window.group, y.sizes[3] // window.group, w.size // w.sizes[0]
    taps, ways = backward_taps(window, x, y) if turned else forward_taps(window, x, y)
    rows, deepest = samples * ways[0][0] * ways[0][1], depth * max(way[5] for way in ways)
    way = cut(cuda.driver.processors, rows, columns, deepest, group * len(ways))
    whole, parts = way.parts == 1, None if way.parts == 1 else cuda.scratch(way.parts, y.size)
    vectors = {"LEFT_VECTOR": at_once(x, depth), "RIGHT_VECTOR": at_once(w, columns if turned else depth, step)}
    text = text_of("convolution", head(way.tile, finish if whole else None, TURNED=turned, **vectors))
    tables = [cuda.constant(np.array(table, np.int32)) for table in (taps, ways)]
    steps = ((1, 1), window.stride) if turned else (window.stride, (1, 1))
    grid = (-(-rows // way.tile.rows) * -(-columns // way.tile.columns), group, len(ways) * way.parts)
    args = [x, w, bias if whole else None, y if parts is None else parts, *tables, samples, height, width, group, depth, columns]
    args += [*y.sizes[1:3], *steps[0], *steps[1], step, way.parts]
    made = launch(cuda.driver, text, "gather", grid, args, way.tile.threads)
    return [made] if parts is None else [made, join(cuda, parts, y, bias, finish=finish)]


def weights(cuda: Cuda, x: DeviceArray, dy: DeviceArray, dw: DeviceArray, db: Any, window: Window) -> list[Kernel]:
    """conv_dw: the places in parts, then the parts in order."""
    samples, height, width, channels = x.sizes
    _, y_height, y_width, whole = dy.sizes
    depth, outs, columns = channels // window.group, whole // window.group, dw.size // whole
    way = cut(cuda.driver.processors, outs, columns, samples * y_height * y_width, window.group)
    vectors = {"LEFT_VECTOR": at_once(dy, outs), "RIGHT_VECTOR": at_once(x, depth)}
    text = text_of("convolution", head(way.tile, **vectors))
    taps = cuda.constant(np.array(forward_taps(window, x, dy).taps, np.int32))
    parts = None if way.parts == 1 else cuda.scratch(way.parts, dw.size + (0 if db is None else db.size))
    grid = (-(-outs // way.tile.rows) * -(-columns // way.tile.columns), window.group, way.parts)
    args = [x, dy, dw if parts is None else parts, db, taps, samples, height, width, window.group, depth, outs]
    args += [y_height, y_width, *window.stride, window.area, way.parts, way.span]
    made = launch(cuda.driver, text, "weights", grid, args, way.tile.threads)
    return [made] if parts is None else [made, join(cuda, parts, dw, add=True, totals=db)]


@recipe("conv", "conv_elementwise", fits=planar)
def conv(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, w, b, y = memory(call, arrays, "x", "w", "b", "y")
    finish = (call.args["formula"], call.args["constants"]) if "formula" in call.args else None
    return gather(cuda, x, w, b, y, call.args["window"], finish=finish)


@recipe("conv_dx", fits=planar)
def conv_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, dy, dx = memory(call, arrays, "w", "dy", "dx")
    return gather(cuda, dy, w, None, dx, call.args["window"], turned=True)


@recipe("conv_dw", fits=planar)
def conv_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dw, db = memory(call, arrays, "x", "dy", "dw", "db")
    if dw is None:
        return column_sums(cuda, dy.reshape(-1, dy.sizes[-1]), db)
    return weights(cuda, x, dy, dw, db, call.args["window"])
