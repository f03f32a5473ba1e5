"""How a GPU does what layers on images do besides convolution and pooling: borders, sizes, places of winners, regions."""

from __future__ import annotations

from collections.abc import Sequence

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import view
from dltrain.ops.cuda.moves import seen
from dltrain.ops.signature import Call

MODES = {"zero": 0, "edge": 1, "reflect": 2}


# --- borders ---
@recipe("pad", "pad_dx", short="x y dy dx")
def pad(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Forward, each place of y looks where it comes from; back, each place of x looks at all places of y that came from it."""
    small, large = logical(call, arrays, *(("x", "y") if call.op.name == "pad" else ("dx", "dy")))
    before, mode = seen([1] * small.ndim, call.args["before"]), MODES[call.args["mode"]]
    count = large.size if call.op.name == "pad" else small.size
    return [cuda.each("vision", call.op.name, count, small, large, view(small), view(large), before, mode)]


# --- sizes ---
@recipe("upsample", "upsample_dx", short="x y dy dx")
def upsample(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    small, large = logical(call, arrays, *(("x", "y") if call.op.name == "upsample" else ("dx", "dy")))
    scale = seen([1] * small.ndim, [1, 1, *call.args["scale"]])
    count = large.size if call.op.name == "upsample" else small.size
    linear = int(call.args["mode"] == "bilinear")
    return [cuda.each("vision", call.op.name, count, small, large, view(small), view(large), scale, linear)]


# --- places of winners ---
@recipe("winner_mask", short="x")
def winner_mask(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    winner, mask = memory(call, arrays, "winner", "mask")
    return [cuda.each("vision", "winner_mask", mask.size, winner, mask)]


@recipe("mask_winner")
def mask_winner(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    mask, winner = memory(call, arrays, "mask", "winner")
    return [cuda.each("vision", "mask_winner", mask.size, mask, winner, call.args["size"])]


@recipe("take_winner", short="x y")
def take_winner(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, winner, y = logical(call, arrays, "x", "winner", "y")
    plane = seen(x.shape[2:], x.strides[2:])
    heads = seen(y.shape, [*x.strides[:2], *[0] * (y.ndim - 2)])
    return [cuda.each("vision", "take_winner", y.size, x, winner, y, heads, plane, view(y))]


# --- regions ---
@recipe("roi_pool", short="x y")
def roi_pool(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y, winner = logical(call, arrays, "x", "y", "winner")
    (rois,) = memory(call, arrays, "rois")
    return [cuda.each("vision", "roi_pool", y.size, x, rois, y, winner, view(x), view(y), call.args["scale"])]


@recipe("roi_pool_dx", short="dy dx")
def roi_pool_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    dy, winner, dx = logical(call, arrays, "dy", "winner", "dx")
    (rois,) = memory(call, arrays, "rois")
    return [cuda.each("vision", "roi_pool_dx", dx.size, rois, dy, winner, dx, view(dy), view(dx))]
