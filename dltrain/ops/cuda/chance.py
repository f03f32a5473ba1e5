"""How a GPU draws random numbers: each thread its own words of the stream, by the logical index of its element."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import view
from dltrain.ops.cuda.moves import move
from dltrain.ops.signature import Call


@recipe("dropout", short="x y")
def dropout(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """The mask is drawn again on the way back; where memory is in logical order, four neighbours share a block of words."""
    (x, y), (count,), ratio = logical(call, arrays, "x", "y"), memory(call, arrays, "count"), call.args["ratio"]
    given = (x, count, y, *call.args["key"], int(ratio * 2**32), 1 - ratio)
    if x.is_plain:
        return [cuda.each("chance", "dropout_plain", -(-x.size // 4), *given, x.size)]
    return [cuda.each("chance", "dropout", x.size, *given, view(x))]


KINDS = ("normal", "even", "rows")


def is_known(call: Call) -> bool:
    return call.args["filler"] is None or call.args["filler"].law(tuple(call.args["y"].shape)) is not None


@recipe("draw", fits=is_known)
def draw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Without a filler: the standard normal."""
    (y,), (count,), filler = logical(call, arrays, "y"), memory(call, arrays, "count"), call.args["filler"]
    kind, start, wide, kept = filler.law(y.shape) if filler else ("normal", 0.0, 1.0, -1.0)
    if kind == "fixed":
        values = cuda.constant(filler.fill(y.shape, (0, 0)).astype(y.dtype))
        return move(cuda, values, y, view(values), view(y), y.size)
    words = (*call.args["key"], KINDS.index(kind), start, wide, kept)
    made: list[Kernel] = [cuda.each("chance", "draw", y.size, count, y, *words, view(y))]
    return made if kind != "rows" else [*made, cuda.launch("chance", "unit_rows", y.shape[0], y, view(y), prod(y.shape[1:]))]


@recipe("draw_classes")
def draw_classes(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    count, drawn = memory(call, arrays, "count", "drawn")
    words = (*call.args["key"], call.args["classes"], int(call.args["log_uniform"]))
    return [cuda.each("chance", "draw_classes", drawn.size, count, drawn, *words)]
