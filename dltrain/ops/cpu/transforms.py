"""Winograd's transforms of one tile of an image, for a vector of channels at a time: out = L s L' with a small constant matrix L.

F(m x m, 3 x 3) makes m x m results from n x n values, n = m + 2, with n^2 products where 9 m^2 stand otherwise:
    y = A' ((G w G') * (B' x B)) A          Lavin & Gray, CVPR 2016
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dltrain.ops.cpu.tiles import FLOAT, FLOATS, LANES, LONG, VECTOR, Maker, code_of

Matrix = Sequence[Sequence[float]]

B2: Matrix = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
A2: Matrix = [[1, 1, 1, 0], [0, 1, -1, -1]]
G2: Matrix = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
B4: Matrix = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
      [0, 4, 0, -5, 0, 1]]  # fmt: skip
A4: Matrix = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
G4: Matrix = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6],
      [0, 0, 1]]  # fmt: skip


def transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def combined(builder: Any, made: Maker, values: list[Any], factors: Sequence[float]) -> Any:
    """The sum of factor times value, without what is 0."""
    total = None
    for factor, value in sorted(zip(factors, values, strict=True), key=lambda pair: -pair[0]):
        if factor == 0:
            continue
        if total is None:
            total = value if factor == 1 else builder.fmul(value, constant(factor))
        elif abs(factor) == 1:
            total = builder.fadd(total, value) if factor > 0 else builder.fsub(total, value)
        else:
            total = made.times(value, constant(factor), total)
    return total


def constant(value: float) -> Any:
    return ir.Constant(VECTOR, [ir.Constant(FLOAT, float(value))] * LANES)


def transformation(made: Maker, matrix: Matrix, bounded: bool) -> None:
    """The tile of `transformer`, a vector of channels after another."""
    builder, size = made.builder, len(matrix[0])
    source, row, column, target, target_row, target_column, vectors, bias, height, width = made.values

    def one(v: Any, _: list[Any]) -> list[Any]:
        at = builder.mul(v, LONG(LANES))

        def spot(pointer: Any, i: int, one: Any, j: int, other: Any) -> Any:
            place = builder.add(builder.mul(LONG(i), one), builder.mul(LONG(j), other))
            return made.at(pointer, builder.add(place, at))

        half = []
        for j in range(size):
            values = [made.vector(spot(source, i, row, j, column)) for i in range(size)]
            half.append([combined(builder, made, values, factors) for factors in matrix])
        start = made.vector(made.at(bias, at)) if bounded else None
        for i in range(len(matrix)):
            for j, factors in enumerate(matrix):
                total = combined(builder, made, [column[i] for column in half], factors)
                place = builder.bitcast(spot(target, i, target_row, j, target_column), VECTOR.as_pointer())
                if start is None:
                    builder.store(total, place, align=4)
                    continue
                total = builder.fadd(total, start)
                inside = builder.icmp_signed("<", LONG(i), height), builder.icmp_signed("<", LONG(j), width)
                with builder.if_then(builder.and_(*inside)):
                    builder.store(total, place, align=4)
        return []

    made.loop(LONG(0), vectors, 1, [], one)


def transformer(matrix: Matrix, bounded: bool) -> Any:
    """transform(source, row, column, target, target_row, target_column, vectors, bias, height, width), for v < vectors:

    target[i target_row + j target_column + v] = bias[v] + (L source L')[i, j]        bounded: only for i < height, j < width
    """
    code = code_of(transformation, matrix, bounded)

    @intrinsic
    def transform(typing: Any, source: Any, row: Any, column: Any, target: Any, target_row: Any, target_column: Any,
                  vectors: Any, bias: Any, height: Any, width: Any) -> Any:  # fmt: skip
        one = types.int64
        return types.void(FLOATS, one, one, FLOATS, one, one, one, FLOATS, one, one), code

    return transform


image_2, result_2, slope_2 = transformer(B2, False), transformer(A2, True), transformer(transposed(A2), False)
image_4, result_4, slope_4 = transformer(B4, False), transformer(A4, True), transformer(transposed(A4), False)
weights_2, taps_2 = transformer(G2, False), transformer(transposed(G2), False)
weights_4, taps_4 = transformer(G4, False), transformer(transposed(G4), False)
