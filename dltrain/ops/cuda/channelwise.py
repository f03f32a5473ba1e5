"""How a GPU does what each channel has of its own, and what goes on among the channels of one place."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.launch import View, view
from dltrain.ops.cuda.moves import along, seen
from dltrain.ops.signature import Call


def beside(z: DeviceArray | None, x: DeviceArray, axis: int) -> View:
    """z along the axes of x from `axis` on, repeated over all others."""
    steps = [0] * x.ndim
    if z is not None and z.size > 1:
        steps[axis : axis + z.ndim] = z.strides
    return seen(x.shape, steps)


def others(z: DeviceArray, x: DeviceArray, axis: int) -> tuple[list[int], list[int]]:
    """The axes of x that z has, and those it is repeated along."""
    own = [] if z.size == 1 else list(range(axis, axis + z.ndim))
    return own, [each for each in range(x.ndim) if each not in own]


def collected(
    cuda: Cuda, dy: DeviceArray, x: DeviceArray | None, z: DeviceArray, axis: int, add: bool, below: bool = False
) -> Any:
    """z = (+=) the sum of dy x (of dy; `below`: where x <= 0) over the axes that z is repeated along"""
    own, gone = others(z, dy, axis)
    of_z = view(z) if z.size > 1 else seen([1], [1])
    count = prod(dy.shape[each] for each in gone)
    return cuda.launch(
        "channelwise", "collect", z.size, dy, x, z, along(dy, own), along(dy, gone), of_z, count, int(add), int(below)
    )


@recipe("scale_bias", short="x scale bias y")
def scale_bias(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, scale, bias, y), axis = logical(call, arrays, "x", "scale", "bias", "y"), call.args["axis"]
    views = [beside(z, x, axis) for z in (scale, bias)]
    return [cuda.each("channelwise", "scale_bias", x.size, x, scale, bias, y, view(x), *views)]


@recipe("scale_bias_dw", short="x dy")
def scale_bias_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, dy, dscale, dbias), axis = logical(call, arrays, "x", "dy", "dscale", "dbias"), call.args["axis"]
    made = [] if dscale is None else [collected(cuda, dy, x, dscale, axis, True)]
    return made if dbias is None else [*made, collected(cuda, dy, None, dbias, axis, True)]


@recipe("scale_bias_dz", short="x dy dz")
def scale_bias_dz(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dz = logical(call, arrays, "x", "dy", "dz")
    return [collected(cuda, dy, x, dz, call.args["axis"], False)]


@recipe("prelu", "prelu_dx", short="x y dy dx")
def prelu(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """y = x where x > 0, else slope x;   dx = dy where x > 0, else slope dy"""
    x, slope = logical(call, arrays, "x", "slope")
    given, made = logical(call, arrays, *(("x", "y") if call.op.name == "prelu" else ("dy", "dx")))
    return [cuda.each("channelwise", "prelu", x.size, x, slope, given, made, view(x), beside(slope, x, 1))]


@recipe("prelu_dw", short="x dy")
def prelu_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dslope = logical(call, arrays, "x", "dy", "dslope")
    return [collected(cuda, dy, x, dslope, 1, True, below=True)]


def grouped(x: DeviceArray, y: DeviceArray) -> tuple[View, int, int]:
    """The first channel of each group of x, seen in the shape of y; the step to the next of the group; how many there are."""
    pieces = x.shape[1] // y.shape[1]
    return seen(y.shape, [x.strides[0], pieces * x.strides[1], *x.strides[2:]]), x.strides[1], pieces


@recipe("maxout", short="x y")
def maxout(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y, winner = logical(call, arrays, "x", "y", "winner")
    return [cuda.each("channelwise", "maxout", y.size, x, y, winner, view(y), *grouped(x, y))]


@recipe("maxout_dx", short="dy dx")
def maxout_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    dy, winner, dx = logical(call, arrays, "dy", "winner", "dx")
    return [cuda.each("channelwise", "maxout_dx", dy.size, dy, winner, dx, view(dy), *grouped(dx, dy))]
