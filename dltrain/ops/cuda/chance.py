"""How a GPU draws random numbers: each thread its own words of the stream, by the logical index of its element."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

from dltrain.fillers import Bilinear, Constant, Gaussian, Identity, Msra, PositiveUnitball, Uniform, Xavier, fan
from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import view
from dltrain.ops.cuda.moves import move
from dltrain.ops.signature import Call


@recipe("dropout")
def dropout(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """The mask is drawn again on the way back; where logical order is that of the memory, four neighbours share a block of words."""
    (x, y), (count,), ratio = logical(call, arrays, "x", "y"), memory(call, arrays, "count"), call.args["ratio"]
    given = (x, count, y, *call.args["key"], int(ratio * 2**32), 1 - ratio)
    if x.is_plain:
        return [cuda.each("chance", "dropout_plain", -(-x.size // 4), *given, x.size)]
    return [cuda.each("chance", "dropout", x.size, *given, view(x))]


FIXED = (Constant, Bilinear, Identity)
NORMAL, EVEN, ROWS = 0, 1, 2


def distribution(filler: object, shape: tuple[int, ...]) -> tuple[int, float, float, float]:
    """Which words are drawn, then y = first + second z, kept with a probability (below 0: always)."""
    match filler:
        case None:
            return NORMAL, 0.0, 1.0, -1.0
        case Gaussian():
            return NORMAL, filler.mean, filler.std, -1.0 if filler.sparse is None else filler.sparse / shape[0]
        case Msra():
            return NORMAL, 0.0, sqrt(2.0 / fan(shape, filler.variance_norm)), -1.0
        case Uniform():
            return EVEN, filler.min, filler.max - filler.min, -1.0
        case Xavier():
            a = sqrt(3.0 / fan(shape, filler.variance_norm))
            return EVEN, -a, 2.0 * a, -1.0
    return ROWS, 0.0, 1.0, -1.0


def known(call: Call) -> bool:
    return isinstance(call.args["filler"], (type(None), *FIXED, Gaussian, Msra, Uniform, Xavier, PositiveUnitball))


@recipe("draw", fits=known)
def draw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (y,), (count,), filler = logical(call, arrays, "y"), memory(call, arrays, "count"), call.args["filler"]
    if isinstance(filler, FIXED):
        values = cuda.constant(filler.fill(tuple(y.shape), (0, 0)).astype(y.dtype))
        return move(cuda, values, y, view(values), view(y), y.size)
    kind, first, second, kept = distribution(filler, tuple(y.shape))
    drawn = cuda.each("chance", "draw", y.size, count, y, *call.args["key"], kind, first, second, kept, view(y))
    if kind != ROWS:
        return [drawn]
    return [drawn, cuda.launch("chance", "unit_rows", y.shape[0], y, view(y), prod(y.shape[1:]))]


@recipe("draw_classes")
def draw_classes(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    count, drawn = memory(call, arrays, "count", "drawn")
    words = (*call.args["key"], call.args["classes"], int(call.args["log_uniform"]))
    return [cuda.each("chance", "draw_classes", drawn.size, count, drawn, *words)]
