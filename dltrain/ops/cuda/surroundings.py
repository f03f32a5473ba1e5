"""How a GPU compares each place with its surroundings (LocalContrastNorm): windowed means, an axis after the other."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.launch import BLOCK, View, view
from dltrain.ops.reference.normalization import window_weights
from dltrain.ops.signature import Call


def maps(x: DeviceArray) -> View:
    """x with its maps behind the places."""
    return view(x, [0, *range(2, x.ndim), 1])


class Planes:
    """The launches that make, step by step, a number for each place of each sample; `now` is where they are."""

    def __init__(self, cuda: Cuda, x: DeviceArray, size: int) -> None:
        self.cuda, self.x, self.window, self.launches = cuda, x, size, list[Kernel]()
        self.channels, self.size, self.count = x.shape[1], prod(x.shape[2:]), x.size // x.shape[1]
        self.now, self.next = cuda.scratch(self.count), cuda.scratch(self.count)

    def each(self, kernel: str, count: int, *args: object) -> None:
        self.launches.append(self.cuda.each("surroundings", kernel, count, *args))

    def blocks(self, kernel: str, *args: object) -> None:
        """A block for each sample."""
        self.launches.append(self.cuda.launch("surroundings", kernel, len(self.x), *args, block=BLOCK))

    def mean(self, x: DeviceArray, squares: bool = False) -> None:
        """The mean over the maps."""
        self.each("map_means", self.count, x, self.now, maps(x), self.channels, int(squares))

    def blend(self, back: bool = False) -> None:
        """The weighted mean of the window around each place; back: the transpose of that."""
        for axis in range(2, self.x.ndim):
            length = self.x.shape[axis]
            weights = self.cuda.constant(window_weights(length, self.window, np.float32))
            inner = prod(self.x.shape[axis + 1 :])
            self.each("blend", self.count, self.now, weights, self.next, length, inner, self.window // 2, int(back))
            self.now, self.next = self.next, self.now


@recipe("subtract_around", "subtract_around_dx", short="x y dy dx")
def subtract_around(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    back = call.op.name.endswith("_dx")
    x, y = logical(call, arrays, *(("dy", "dx") if back else ("x", "y")))
    planes = Planes(cuda, x, call.args["size"])
    planes.mean(x)
    planes.blend(back)
    planes.each("subtract", x.size, x, planes.now, y, maps(x), planes.channels)
    return planes.launches


@recipe("divide_around", short="x y")
def divide_around(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, deviation, y = logical(call, arrays, "x", "deviation", "y")
    planes, middle = Planes(cuda, x, call.args["size"]), cuda.scratch(len(x))
    planes.mean(x, squares=True)
    planes.blend()
    planes.blocks("deviations", planes.now, deviation, middle, planes.size)
    planes.each("divide", x.size, x, deviation, middle, y, maps(x), planes.channels, planes.size)
    return planes.launches


@recipe("divide_around_dx", short="x dy dx")
def divide_around_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, deviation, dy, dx = logical(call, arrays, "x", "deviation", "dy", "dx")
    planes, middle, shared = Planes(cuda, x, call.args["size"]), cuda.scratch(len(x)), cuda.scratch(len(x))
    numbers = (maps(x), planes.channels, planes.size)
    planes.blocks("middles", deviation, middle, planes.size)
    planes.blocks("pulls", x, dy, deviation, middle, planes.now, shared, *numbers)
    planes.each("spread", planes.count, planes.now, shared, deviation, planes.size)
    planes.blend(back=True)
    planes.each("divide_dx", x.size, x, dy, deviation, middle, planes.now, dx, *numbers)
    return planes.launches
