"""How a GPU convolves images by products in tiles: channels-last memory is read where it lies, nothing is copied out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product as pairs
from typing import NamedTuple

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda import cudnn, direct
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.dense import column_sums, formed, gemm, join
from dltrain.ops.cuda.depthwise import alone
from dltrain.ops.cuda.launch import launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import JOINED, ByTiles, Cut, Finish, at_once, head, joint, rectifies, told
from dltrain.ops.cuda.tuning import Given, Way, chosen, there
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
    depth, rows = channels // window.group, Rows()
    for number, (r, s) in enumerate(pairs(*map(range, window.kernel))):
        down, aside = r * window.steps[0] - window.pad[0], s * window.steps[1] - window.pad[1]
        rows.append((down, aside, (down * width + aside) * channels, number * depth))
    return Taps(rows, [(y.sizes[1], y.sizes[2], 0, 0, 0, len(rows))])


def met_on_axis(window: Window, axis: int) -> list[list[tuple[int, int]]]:
    """For each place modulo the stride: the taps that it meets, and how many places of dy on."""
    kernel, stride, pad, step = (each[axis] for each in (window.kernel, window.stride, window.pad, window.steps))
    return [[(tap, (a + pad - tap * step) // stride) for tap in range(kernel) if (a + pad - tap * step) % stride == 0]
            for a in range(stride)]  # fmt: skip


def backward_taps(window: Window, dy: DeviceArray, dx: DeviceArray) -> Taps:
    """Places of dx that are alike modulo the stride are a way: they meet the same taps."""
    taps, ways = Rows(), Rows()
    _, height, width, channels = dx.sizes
    rows, columns = (met_on_axis(window, axis) for axis in (0, 1))
    for a, b in pairs(*map(range, window.stride)):
        if a >= height or b >= width:
            continue
        met = Rows()
        for (r, down), (s, aside) in pairs(rows[a], columns[b]):
            on = (down * dy.sizes[2] + aside) * dy.sizes[3]
            met.append((down, aside, on, (r * window.kernel[1] + s) * (channels // window.group)))
        tall, wide = -(-(height - a) // window.stride[0]), -(-(width - b) // window.stride[1])
        ways.append((tall, wide, a, b, len(taps), len(met)))
        taps += met
    return Taps(taps or [(0, 0, 0, 0)], ways)


def gathered(cuda: Cuda, window: Window, turned: bool, finish: Finish | None, way: Cut, given: Given) -> list[Kernel]:
    """y = conv(x, w, bias), finished; turned, y = conv_dx(w, x)"""
    x, w, bias, y = there(given, "x"), there(given, "w"), given["bias"], there(given, "y")
    samples, height, width, channels = x.sizes
    group, depth, columns, step = window.group, channels // window.group, y.sizes[3] // window.group, w.size // w.sizes[0]
    taps, ways = backward_taps(window, x, y) if turned else forward_taps(window, x, y)
    rows, whole = samples * ways[0][0] * ways[0][1], way.parts <= JOINED
    parts = y if whole else cuda.scratch(way.parts, y.size)
    vectors = {"LEFT_VECTOR": at_once(x, depth), "RIGHT_VECTOR": at_once(w, columns if turned else depth, step)}
    text = text_of("convolution", head(way.tile, finish if whole else None, TURNED=turned, **vectors))
    tables = [cuda.constant(np.array(table, np.int32)) for table in (taps, ways)]
    steps = ((1, 1), window.stride) if turned else (window.stride, (1, 1))
    grid = (-(-rows // way.tile.rows) * -(-columns // way.tile.columns), group, len(ways) * way.parts)
    tiles = grid[0] * group * len(ways)
    args = [
        x,
        w,
        bias if whole else None,
        parts,
        *joint(cuda, way, tiles),
        *tables,
        samples,
        height,
        width,
        group,
        depth,
        columns,
    ]
    args += [*y.sizes[1:3], *steps[0], *steps[1], step, way.parts]
    made = launch(cuda.driver, text, "gather", grid, args, way.tile.threads)
    return [made] if whole else [made, join(cuda, parts, y, bias, finish=finish)]


def gather(cuda: Cuda, given: Given, window: Window, turned: bool = False, finish: Finish | None = None) -> list[Kernel]:
    """The convolution of x, w and bias to y, or turned, in the fastest way."""
    x, y, kind = there(given, "x"), there(given, "y"), "conv_dx" if turned else "conv"
    if not y.size:
        return []
    _, parts = backward_taps(window, x, y) if turned else forward_taps(window, x, y)
    rows, deepest = len(x) * parts[0][0] * parts[0][1], x.sizes[3] // window.group * max(part[5] for part in parts)
    sizes = (rows, y.sizes[3] // window.group, deepest, window.group * len(parts))
    ways: dict[str, Way] = {"tiles": ByTiles(cuda, sizes, partial(gathered, cuda, window, turned, finish))}
    ways |= direct.ways(cuda, window, given, turned, finish)
    ways |= cudnn.ways(cuda, kind, window, given, partial(formed, cuda, "y", finish))
    if rectifies(finish):
        ways |= cudnn.ways(cuda, kind, window, given, lambda _: [], rectifies=True)
    return chosen(cuda, f"{kind} {window} {told(finish)}", given, ["y"], ways, cudnn.version())


def weighted(cuda: Cuda, window: Window, way: Cut, given: Given) -> list[Kernel]:
    """w += the gradient by the weights, bias += that by the bias, from x and y's gradient: in parts, then the parts in order."""
    x, dy, dw, db = there(given, "x"), there(given, "y"), there(given, "w"), given["bias"]
    samples, height, width, channels = x.sizes
    _, y_height, y_width, whole = dy.sizes
    depth, outs, columns = channels // window.group, whole // window.group, dw.size // whole
    vectors = {"LEFT_VECTOR": at_once(dy, outs), "RIGHT_VECTOR": at_once(x, depth)}
    text = text_of("convolution", head(way.tile, None, **vectors))
    taps = cuda.constant(np.array(forward_taps(window, x, dy).taps, np.int32))
    whole = way.parts <= JOINED
    parts = dw if whole else cuda.scratch(way.parts, dw.size + (0 if db is None else db.size))
    grid = (-(-outs // way.tile.rows) * -(-columns // way.tile.columns), window.group, way.parts)
    args = [x, dy, parts, db, *joint(cuda, way, grid[0] * window.group), taps, samples, height, width, window.group, depth, outs]
    args += [y_height, y_width, *window.stride, window.area, way.parts, way.span]
    made = launch(cuda.driver, text, "weights", grid, args, way.tile.threads)
    return [made] if whole else [made, join(cuda, parts, dw, add=True, totals=db)]


def weights(cuda: Cuda, given: Given, window: Window) -> list[Kernel]:
    """The gradients of the weights and of the bias, in the fastest way."""
    dy, dw = there(given, "y"), there(given, "w")
    if not dy.size:
        return []

    def after(given: Given) -> list[Kernel]:
        return [] if given["bias"] is None else column_sums(cuda, matrices(there(given, "y"))[0], given["bias"])

    outs = dy.sizes[3]
    sizes = (outs // window.group, dw.size // outs, dy.size // outs, window.group)
    ways: dict[str, Way] = {"tiles": ByTiles(cuda, sizes, partial(weighted, cuda, window))}
    ways |= cudnn.ways(cuda, "conv_dw", window, given, after)
    return chosen(cuda, f"conv_dw {window}", given, ["w", "bias"], ways, cudnn.version())


def is_product(window: Window) -> bool:
    """True where each place is made of the same place alone: a product of matrices, without looking around."""
    return window.area == window.group == 1 and window.stride == (1, 1) and window.pad == (0, 0)


def matrices(*arrays: DeviceArray) -> list[DeviceArray]:
    """Channels-last memory as (places, channels), weights as (outputs, channels)."""
    return [array.reshape(-1, array.sizes[3]) for array in arrays]


@recipe("conv", "conv_elementwise", fits=planar, short="x w y")
def conv(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, w, b, y = memory(call, arrays, "x", "w", "b", "y")
    finish = (call.args["formula"], call.args["constants"]) if "formula" in call.args else None
    if is_product(call.args["window"]):
        a, weight, c = matrices(x, w, y)
        return gemm(cuda, a, weight.transpose((1, 0)), c, b, finish=finish)
    return gather(cuda, {"x": x, "w": w, "bias": b, "y": y}, call.args["window"], finish=finish)


@recipe("conv_dx", fits=planar, short="w dy dx")
def conv_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, dy, dx = memory(call, arrays, "w", "dy", "dx")
    if is_product(call.args["window"]):
        weight, a, c = matrices(w, dy, dx)
        return gemm(cuda, a, weight, c)
    return gather(cuda, {"x": dy, "w": w, "bias": None, "y": dx}, call.args["window"], turned=True)


@recipe("conv_dw", fits=planar, short="x dy")
def conv_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dw, db = memory(call, arrays, "x", "dy", "dw", "db")
    if dw is None:
        return column_sums(cuda, matrices(dy)[0], db) if dy.size else []
    if is_product(call.args["window"]):
        b, a, c = matrices(x, dy, dw)
        return gemm(cuda, a.transpose((1, 0)), b, c, add=True, totals=db)
    return weights(cuda, {"x": x, "w": dw, "bias": db, "y": dy}, call.args["window"])
