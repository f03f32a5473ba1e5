"""How a GPU moves values to other places: every such op is a copy from one view of memory to another."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import RANKS, REALS, View, view
from dltrain.ops.signature import Call

KINDS = {"sum": 0, "asum": 1, "sumsq": 2, "mean": 3}  # of a reduction


def words(array: DeviceArray) -> DeviceArray:
    """Real numbers as they are; the memory of others as floats, for kernels that only move them, bit by bit."""
    if array.dtype in REALS:
        return array
    return DeviceArray(array.driver, array.address, array.sizes, "float32", array.owner, array.axes)


def seen(sizes: Sequence[int], steps: Sequence[int]) -> View:
    """A view of any sizes and steps; a step of 0 repeats."""
    whole = ctypes.c_int * RANKS
    rest = RANKS - len(sizes)
    return View(len(sizes), whole(*sizes, *[1] * rest), whole(*steps, *[0] * rest))


def move(cuda: Cuda, x: DeviceArray, y: DeviceArray, of_x: View, of_y: View, count: int, x_at: int = 0, y_at: int = 0,
         add: bool = False) -> list[Kernel]:  # fmt: skip
    """y[y_at + its view] = (+=) x[x_at + its view], for `count` elements in logical order"""
    return [cuda.each("moves", "move", count, words(x), words(y), of_x, of_y, x_at, y_at, int(add))] if count else []


def collect(cuda: Cuda, x: DeviceArray, y: DeviceArray, kept: View, gone: View, of_y: View, count: int, over: int,
            scale: float = 1.0, add: bool = False) -> list[Kernel]:  # fmt: skip
    """y[i] = (+=) scale times the sum of x[kept(i) + gone(j)] over j: a block for each i where j are many"""
    if over >= 64:
        return [cuda.launch("moves", "collect_wide", count, x, y, kept, gone, of_y, over, scale, int(add))]
    return [cuda.each("moves", "collect", count, x, y, kept, gone, of_y, over, scale, int(add))]


# --- the same values elsewhere ---
@recipe("reshape", short="x y")
def reshape(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = logical(call, arrays, "x", "y")
    return move(cuda, x, y, view(x), view(y), y.size)


@recipe("permute", "permute_add", short="x y")
def permute(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = logical(call, arrays, "x", "y")
    return move(cuda, x, y, view(x.transpose(call.args["order"])), view(y), y.size, add=call.op.name == "permute_add")


@recipe("concat", short="xs y")
def concat(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (y,), axis, at, made = logical(call, arrays, "y"), call.args["axis"], 0, []
    for x in (arrays.logical(tensor) for tensor in call.args["xs"]):
        made += move(cuda, x, y, view(x), seen(x.shape, y.strides), x.size, y_at=at * y.strides[axis])
        at += x.shape[axis]
    return made


@recipe("cut", short="x y")
def cut(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = logical(call, arrays, "x", "y")
    return move(cuda, x, y, seen(y.shape, x.strides), view(y), y.size, x_at=call.args["start"] * x.strides[call.args["axis"]])


@recipe("crop", short="x y")
def crop(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = logical(call, arrays, "x", "y")
    at = sum(start * step for start, step in zip(call.args["starts"], x.strides, strict=True))
    return move(cuda, x, y, seen(y.shape, x.strides), view(y), y.size, x_at=at)


def tiled(whole: DeviceArray, part: DeviceArray, axis: int, tiles: int) -> tuple[list[int], list[int]]:
    """Sizes and steps of the whole as (..., tiles, part's size, ...)."""
    sizes = [*part.shape[:axis], tiles, *part.shape[axis:]]
    steps = [*whole.strides[:axis], part.shape[axis] * whole.strides[axis], *whole.strides[axis:]]
    return sizes, steps


@recipe("tile", short="x y")
def tile(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, y), axis = logical(call, arrays, "x", "y"), call.args["axis"]
    sizes, steps = tiled(y, x, axis, call.args["tiles"])
    return move(cuda, x, y, seen(sizes, [*x.strides[:axis], 0, *x.strides[axis:]]), seen(sizes, steps), y.size)


@recipe("tile_dx", short="dy dx")
def tile_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (dy, dx), axis, tiles = logical(call, arrays, "dy", "dx"), call.args["axis"], call.args["tiles"]
    gone = seen([tiles], [dx.shape[axis] * dy.strides[axis]])
    return collect(cuda, dy, dx, seen(dx.shape, dy.strides), gone, view(dx), dx.size, tiles)


def repeated(x: DeviceArray, y: DeviceArray) -> list[int]:
    """The steps of x along the axes of y: 0 where it is repeated."""
    if x.size == 1:
        return [0] * y.ndim
    return [0 if size == 1 else step for size, step in zip(x.shape, x.strides, strict=True)]


@recipe("broadcast", short="x y")
def broadcast(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = logical(call, arrays, "x", "y")
    return move(cuda, x, y, seen(y.shape, repeated(x, y)), view(y), y.size)


@recipe("broadcast_dx", short="dy dx")
def broadcast_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    dy, dx = logical(call, arrays, "dy", "dx")
    gone = [axis for axis in range(dy.ndim) if dx.size == 1 or dx.shape[axis] == 1]
    kept = [axis for axis in range(dy.ndim) if axis not in gone]
    of_y = seen([dx.shape[axis] for axis in kept], [dx.strides[axis] for axis in kept])
    return collect(cuda, dy, dx, along(dy, kept), along(dy, gone), of_y, dx.size, prod(dy.shape[axis] for axis in gone))


def along(x: DeviceArray, axes: Sequence[int]) -> View:
    """A view of some axes of x only."""
    return seen([x.shape[axis] for axis in axes], [x.strides[axis] for axis in axes])


# --- samples that are picked ---
def row(x: DeviceArray) -> tuple[View, int, int]:
    """One sample of x as a view, how many elements it has, and how far samples lie apart."""
    return seen(x.shape[1:], x.strides[1:]), prod(x.shape[1:]), x.strides[0]


@recipe("take", short="x y")
def take(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, y), (index,) = logical(call, arrays, "x", "y"), memory(call, arrays, "index")
    (one, size, _), has_nan = row(y), call.args["y"].dtype == "float"
    return [cuda.each("moves", "take", y.size, words(x), index, words(y), one, size, x.shape[0], int(has_nan))]


@recipe("take_dx", short="dy dx")
def take_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Each element looks through all indices for those that took it."""
    (dy, dx), (index,) = logical(call, arrays, "dy", "dx"), memory(call, arrays, "index")
    one, size, _ = row(dx)
    return [cuda.each("moves", "take_dx", dx.size, dy, index, dx, one, size, index.size)]


@recipe("count_nonzero")
def count_nonzero(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, count = memory(call, arrays, "x", "count")
    return [cuda.launch("moves", "count_nonzero", 1, words(x), count, int(x.dtype.kind != "f"), x.size)]


@recipe("find_nonzero")
def find_nonzero(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, index = memory(call, arrays, "x", "index")
    return [cuda.launch("moves", "find_nonzero", 1, words(x), index, int(x.dtype.kind != "f"), x.size, index.size, block=1)]


# --- sums over the last axes ---
@recipe("reduce", short="x")
def reduce(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, y), kind = logical(call, arrays, "x", "y"), KINDS[call.args["operation"]]
    over = x.size // y.size
    return [cuda.launch("moves", "reduce", y.size, x, y, view(x), view(y), over, kind, call.args["coeff"])]


@recipe("reduce_dx", short="x dx")
def reduce_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, dy, dx), kind = logical(call, arrays, "x", "dy", "dx"), KINDS[call.args["operation"]]
    over = x.size // dy.size
    return [cuda.each("moves", "reduce_dx", x.size, x, dy, dx, view(x), view(dy), over, kind, call.args["coeff"])]


@recipe("arg_max", short="x")
def arg_max(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """A thread for each line of scores, which looks through it once for each place that is wanted."""
    (x, y), axis, top = logical(call, arrays, "x", "y"), call.args["axis"], call.args["top_k"]
    values, whole = bool(call.args["values"]), int(y.dtype.kind != "f")
    if axis is None:
        line, lines, to = seen(x.shape[1:], x.strides[1:]), seen(x.shape[:1], x.strides[:1]), seen(y.shape[:1], y.strides[:1])
        step, beside = y.strides[-1], (y.strides[1] if values else 0)
        return [cuda.each("moves", "arg_max", x.shape[0], x, words(y), lines, line, to, x.size // x.shape[0], top, step, 0,
                          beside, whole)]  # fmt: skip
    rest = [each for each in range(x.ndim) if each != axis]
    count = x.size // x.shape[axis]
    return [cuda.each("moves", "arg_max", count, x, words(y), along(x, rest), along(x, [axis]), along(y, rest), x.shape[axis],
                      top, y.strides[axis], int(values), 0, whole)]  # fmt: skip
