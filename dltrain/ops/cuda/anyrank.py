"""How a GPU does windows over any number of axes and filters that are another at each place: plainly, an element a thread."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.launch import view
from dltrain.ops.signature import Call


def geometry(call: Call, cuda: Cuda) -> DeviceArray:
    """Kernel, stride, pad and dilation of each axis, on the device."""
    window = call.args["window"]
    return cuda.constant(np.array([window.kernel, window.stride, window.pad, window.steps], np.int32).T)


def is_untied(call: Call) -> int:
    return int(call.op.name.startswith("local"))


def plainly(call: Call) -> bool:
    """Images that are convolved go by tiles."""
    return bool(is_untied(call)) or len(call.args["window"].kernel) != 2


@recipe("conv", "local_conv", fits=plainly, short="x w y")
def conv(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, w, b, y = logical(call, arrays, "x", "w", "b", "y")
    window, untied = call.args["window"], is_untied(call)
    views = [view(array) for array in (x, w, y if b is None else b, y)]
    numbers = [window.area, window.group, prod(y.shape[2:]), untied]
    return [cuda.each("anyrank", "conv", y.size, x, w, b, y, *views, geometry(call, cuda), *numbers)]


@recipe("conv_dx", "local_conv_dx", fits=plainly, short="w dy dx")
def conv_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, dy, dx = logical(call, arrays, "w", "dy", "dx")
    window, views = call.args["window"], [view(array) for array in (w, dy, dx)]
    numbers = [window.area, window.group, prod(dx.shape[2:]), prod(dy.shape[2:]), is_untied(call)]
    return [cuda.each("anyrank", "conv_dx", dx.size, w, dy, dx, *views, geometry(call, cuda), *numbers)]


@recipe("conv_dw", fits=plainly, short="x dy")
def conv_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dw, db = logical(call, arrays, "x", "dy", "dw", "db")
    window, windows, made = call.args["window"], prod(dy.shape[2:]), []
    if dw is not None:
        views, numbers = [view(array) for array in (x, dy, dw)], [window.area, window.group, len(x), windows]
        made += [cuda.launch("anyrank", "conv_dw", dw.size, x, dy, dw, *views, geometry(call, cuda), *numbers, block=64)]
    if db is not None:
        made += [cuda.launch("anyrank", "conv_db", db.size, dy, db, view(dy), len(dy), windows)]
    return made


@recipe("local_conv_dw", short="x dy")
def local_conv_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dw, db = logical(call, arrays, "x", "dy", "dw", "db")
    window, windows, made = call.args["window"], prod(dy.shape[2:]), []
    if dw is not None:
        views, numbers = [view(array) for array in (x, dy, dw)], [window.area, window.group, len(x), windows]
        made += [cuda.each("anyrank", "local_conv_dw", dw.size, x, dy, dw, *views, geometry(call, cuda), *numbers)]
    if db is not None:
        made += [cuda.each("anyrank", "local_conv_db", db.size, dy, db, view(dy), view(db), len(dy))]
    return made


@recipe("im2col", short="x y")
def im2col(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = logical(call, arrays, "x", "y")
    numbers = [call.args["window"].area, prod(y.shape[2:])]
    return [cuda.each("anyrank", "im2col", y.size, x, y, view(x), view(y), geometry(call, cuda), *numbers)]


@recipe("im2col_dx", short="dy dx")
def im2col_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    dy, dx = logical(call, arrays, "dy", "dx")
    numbers = [call.args["window"].area, prod(dx.shape[2:])]
    return [cuda.each("anyrank", "im2col_dx", dx.size, dy, dx, view(dy), view(dx), geometry(call, cuda), *numbers)]
