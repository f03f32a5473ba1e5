"""Products of matrices, many at once."""

from math import prod
from typing import Any

from dltrain.ops.signature import In, Out, op


def macs(args: dict[str, Any]) -> int:
    """Two operations for each product."""
    a, b = args["a"].shape, args["b"].shape
    rows, inner = (a[-1], a[-2]) if args["transpose_a"] else (a[-2], a[-1])
    columns = b[-2] if args["transpose_b"] else b[-1]
    return int(2 * max(prod(a[:-2]), prod(b[:-2])) * rows * inner * columns)


@op(flops=macs)
def matmul(a: In, b: In, y: Out, transpose_a: bool = False, transpose_b: bool = False) -> None:
    """y = a b over the last two axes, each transposed first where so said

    An operand of two axes serves all matrices of the other; a y of two axes is the sum over all of them.
    """
    left = a.swapaxes(-1, -2) if transpose_a else a
    right = b.swapaxes(-1, -2) if transpose_b else b
    made = left @ right
    y[...] = made.sum(axis=tuple(range(made.ndim - y.ndim))) if made.ndim > y.ndim else made
