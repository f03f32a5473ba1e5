"""How a GPU pools: an output or an input element a thread, which gathers what its windows hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.launch import BLOCK, Launch
from dltrain.ops.signature import Call
from dltrain.ops.window import Window

MOST_ROWS = 65535  # of a grid
POOLS = ("max_pool", "stochastic_pool", "conv_max_pool")


def remember_windows(calls: list[Call]) -> list[Call]:
    """Notes at each max_pool_dx the window that chose its winners: a place then looks only at the windows that hold it."""
    made = {call.args["winner"]: call.args.get("pool", call.args["window"]) for call in calls if call.op.name in POOLS}
    for call in calls:
        if call.op.name == "max_pool_dx" and call.args["winner"] in made:
            call.tags["window"] = made[call.args["winner"]]
    return calls


def ends(call: Call) -> tuple[str, str]:
    """The arguments that are the image and what is made of it."""
    return ("dx", "dy") if call.op.name.endswith("_dx") else ("x", "y")


def window_of(call: Call) -> Window | None:
    found: Window | None = call.args.get("window") or call.tags.get("window")
    return found


def planar(call: Call) -> bool:
    return len(call.args[ends(call)[0]].shape) == 4 and window_of(call) is not None


def spatial(call: Call) -> bool:
    return len(call.args[ends(call)[0]].shape) <= 5 and window_of(call) is not None


# --- two axes ---
def over_image(call: Call, cuda: Cuda, kernel: str, *args: object) -> list[Kernel]:
    """A kernel with a row of blocks for each row of places of what it writes."""
    (n, c, *image), (_, _, *pooled) = (call.args[name].shape for name in ends(call))
    height, width = image if call.op.name.endswith("_dx") else pooled
    window = window_of(call)
    assert window is not None
    more = [int(call.op.name.startswith("mean"))] if kernel.startswith("sum") else []
    block = min(BLOCK, -(-width * c // 32) * 32)
    grid = (-(-width * c // block), min(n * height, MOST_ROWS))
    numbers = (n, *image, c, *pooled, *window.kernel, *window.stride, *window.pad, *more)
    return [cuda.launch("pooling", kernel, grid, *args, *numbers, block=block)]


@recipe("max_pool", fits=planar, short="x y")
def max_pool_image(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_image(call, cuda, "max_pool_image", *memory(call, arrays, "x", "y", "winner"))


@recipe("max_pool_dx", fits=planar, short="dy dx")
def max_pool_dx_image(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_image(call, cuda, "max_pool_dx_image", *memory(call, arrays, "dy", "winner", "dx"))


@recipe("mean_pool", "sum_pool", fits=planar, short="x y")
def sum_pool_image(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_image(call, cuda, "sum_pool_image", *memory(call, arrays, "x", "y"))


@recipe("mean_pool_dx", "sum_pool_dx", fits=planar, short="dy dx")
def sum_pool_dx_image(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_image(call, cuda, "sum_pool_dx_image", *memory(call, arrays, "dy", "dx"))


# --- up to three axes ---
def geometry(call: Call, cuda: Cuda) -> tuple[DeviceArray, int, int]:
    """Sizes of image and output, kernel, stride and pad, on three axes; how many channels; whether they are innermost."""
    image, pooled = (call.args[name].shape for name in ends(call))
    window, rest = window_of(call), 5 - len(image)
    assert window is not None
    rows = [(image[2:], 1), (pooled[2:], 1), (window.kernel, 1), (window.stride, 1), (window.pad, 0)]
    table = [[*sizes, *[other] * rest] for sizes, other in rows]
    return cuda.constant(np.array(table, np.int32)), image[1], int(len(image) == 4)


def over_axes(call: Call, arrays: Arrays, cuda: Cuda, names: str, *numbers: object) -> list[Kernel]:
    """A kernel that goes over all elements of y, or of dx."""
    given = memory(call, arrays, *names.split())
    count = call.args["dx" if call.op.name.endswith("_dx") else "y"].shape.count
    kernel = call.op.name.replace("mean", "sum")
    return [cuda.each("windows", kernel, count, *given, *geometry(call, cuda), *numbers)]


@recipe("max_pool", fits=spatial, short="x y")
def max_pool(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "x y winner")


@recipe("max_pool_dx", fits=spatial, short="dy dx")
def max_pool_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "dy winner dx")


@recipe("max_pool_dx", short="dy dx")
def scatter(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Of winners that may be anywhere (Unpooling): each plane is added up by one thread, so that the order is fixed."""
    dy, winner, dx = memory(call, arrays, "dy", "winner", "dx")
    shape = call.args["dx"].shape
    sizes = (prod(shape[2:]), prod(call.args["dy"].shape[2:]), shape[1], int(len(shape) == 4))

    def clear() -> None:
        cuda.driver.clear(dx.address, dx.nbytes)

    added: Launch = cuda.each("windows", "scatter", prod(shape[:2]), dy, winner, dx, *sizes)
    return [clear, added]


@recipe("mean_pool", "sum_pool", fits=spatial, short="x y")
def sum_pool(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "x y", int(call.op.name == "mean_pool"))


@recipe("mean_pool_dx", "sum_pool_dx", fits=spatial, short="dy dx")
def sum_pool_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "dy dx", int(call.op.name == "mean_pool_dx"))


@recipe("lp_pool", "lse_pool", fits=spatial, short="x y")
def power_pool(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "x y", call.args["p" if call.op.name == "lp_pool" else "beta"])


@recipe("lp_pool_dx", "lse_pool_dx", fits=spatial, short="x y dy dx")
def power_pool_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "x y dy dx", call.args["p" if call.op.name == "lp_pool_dx" else "beta"])


@recipe("expected_pool", fits=spatial, short="x y")
def expected_pool(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "x y")


@recipe("stochastic_pool", fits=spatial, short="x y")
def stochastic_pool(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_axes(call, arrays, cuda, "x count y winner", *call.args["key"])
