"""How a GPU does LRN: across channels by rows in shared memory, over places by gathering, and plainly over anything else."""

from __future__ import annotations

from collections.abc import Sequence

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import BLOCK, view
from dltrain.ops.signature import Call

ROOM = 4096  # numbers of rows in a block's shared memory
MOST_ROWS = 65535  # of a grid


def room(call: Call) -> int:
    """Numbers in shared memory for a row of channels and what is beyond its ends."""
    return int(call.args["x"].shape[1] + call.args["size"] // 2 * 2)


def across(call: Call) -> bool:
    """Over channels that are innermost in memory."""
    return call.args["axes"] == (1,) and len(call.args["x"].shape) in (2, 4) and room(call) <= ROOM


def within(call: Call) -> bool:
    return call.args["axes"] == (2, 3) and len(call.args["x"].shape) == 4


def numbers(call: Call) -> list[float]:
    return [call.args[name] for name in ("size", "rate", "beta", "offset") if name in call.args]


def by_rows(call: Call, cuda: Cuda, kernel: str, *args: object) -> list[Kernel]:
    """As many rows a block as fit, each with threads for its channels."""
    shape = call.args["x"].shape
    wide = min(BLOCK, 1 << (shape[1] - 1).bit_length())
    tall = min(BLOCK // wide, ROOM // room(call))
    rows = shape.count // shape[1]
    return [cuda.launch("lrn", kernel, -(-rows // tall), *args, rows, shape[1], *numbers(call), block=(wide, tall))]


def over_image(call: Call, cuda: Cuda, kernel: str, *args: object) -> list[Kernel]:
    n, c, h, w = call.args["x"].shape
    block = min(BLOCK, -(-w * c // 32) * 32)
    grid = (-(-w * c // block), min(n * h, MOST_ROWS))
    return [cuda.launch("lrn", kernel, grid, *args, n, h, w, c, *numbers(call), block=block)]


def anywhere(call: Call, cuda: Cuda, kernel: str, x: DeviceArray, *args: object) -> list[Kernel]:
    axes = sum(1 << axis for axis in call.args["axes"])
    return [cuda.each("lrn", kernel, x.size, x, *args, view(x), axes, *numbers(call))]


@recipe("lrn", fits=across, short="x y")
def lrn_rows(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return by_rows(call, cuda, "lrn_rows", *memory(call, arrays, "x", "local", "y"))


@recipe("lrn", fits=within, short="x y")
def lrn_image(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return over_image(call, cuda, "lrn_image", *memory(call, arrays, "x", "local", "y"))


@recipe("lrn", short="x y")
def lrn(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return anywhere(call, cuda, "lrn", *logical(call, arrays, "x", "local", "y"))


@recipe("lrn_dx", fits=across, short="x dy dx")
def lrn_rows_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return by_rows(call, cuda, "lrn_rows_dx", *memory(call, arrays, "x", "local", "dy", "dx"))


@recipe("lrn_dx", short="x dy dx")
def lrn_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """What is added up is made first: dx may take the memory of dy."""
    x, local, dy, dx = logical(call, arrays, "x", "local", "dy", "dx")
    pull = cuda.scratch(x.size)
    first = cuda.each("lrn", "lrn_pull", x.size, x, local, dy, pull, call.args["beta"])
    if within(call):
        return [first, *over_image(call, cuda, "lrn_image_dx", x, local, dy, pull, dx)]
    return [first, *anywhere(call, cuda, "lrn_dx", x, local, dy, pull, dx)]
