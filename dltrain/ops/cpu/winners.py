"""The innermost kernels of max pooling and of what its winners send back, written as LLVM vectors like those of tiles.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dltrain.ops.cpu.tiles import FLOATS, LANES, LONG, LONGS, VECTOR, Maker, code_of

INT = ir.IntType(32)
INTS = types.Array(types.int32, 1, "C")
MOST = 8  # vectors of a run
TALL = (5, 5, 3, 1, 1, 1, 1, 1)  # lines at once, of runs of 1, 2, … vectors: as many sums as there are registers for
LOWEST = ir.Constant(VECTOR, [float("-inf")] * LANES)


def places(made: Maker, place: Any) -> Any:
    """One place in all lanes."""
    return made.spread(made.builder.trunc(place, INT))


def pooling(made: Maker, vectors: int) -> None:
    """The window of `pooler`."""
    builder = made.builder
    x, corner, down, aside, rows, columns, place, width, bias, y, winner, at, room = made.values
    start, each = made.at(x, corner), range(vectors)
    lanes = [made.lanes(builder.sub(room, LONG(v * LANES))) for v in each]

    def row(i: Any, found: list[Any]) -> list[Any]:
        line, first = made.at(start, builder.mul(i, down)), builder.add(place, builder.mul(i, width))

        def column(j: Any, found: list[Any]) -> list[Any]:
            source, now = made.at(line, builder.mul(j, aside)), places(made, builder.add(first, j))
            values = [made.get(made.at(source, v * LANES), lanes[v]) for v in each]
            better = [builder.fcmp_ordered(">", values[v], found[v]) for v in each]
            best = [builder.select(better[v], values[v], found[v]) for v in each]
            return [*best, *(builder.select(better[v], now, found[vectors + v]) for v in each)]

        return made.loop(LONG(0), columns, 1, found, column)

    found = made.loop(LONG(0), rows, 1, [*[LOWEST] * vectors, *[places(made, place)] * vectors], row)
    for v in each:
        number = builder.fcmp_ordered(">", found[v], LOWEST)
        most = builder.select(number, found[v], made.get(made.at(start, v * LANES), lanes[v]))
        to = builder.add(at, LONG(v * LANES))
        made.put(builder.fadd(most, made.get(made.at(bias, v * LANES), lanes[v])), made.at(y, to), lanes[v])
        target = builder.bitcast(made.at(winner, to), ir.FloatType().as_pointer())
        made.put(builder.bitcast(found[vectors + v], VECTOR), target, lanes[v])


def pooler(vectors: int) -> Any:
    """The kernel of a window of rows x columns places, for so many vectors of channels.

    y[at + c] = bias[c] + most of x[corner + i down + j aside + c],   winner[at + c] = place + i width + j of the first such;
    a number beats NaN, and the first value stands where there is none
    """
    code = code_of(pooling, vectors)

    @intrinsic
    def pool(typing: Any, x: Any, corner: Any, down: Any, aside: Any, rows: Any, columns: Any, place: Any, width: Any, bias: Any,
             y: Any, winner: Any, at: Any, room: Any) -> Any:  # fmt: skip
        one = types.int64
        return types.void(FLOATS, one, one, one, one, one, one, one, FLOATS, FLOATS, INTS, one, one), code

    return pool


class Line:
    """A run of `room` numbers as vectors, of which only the last may have fewer."""

    def __init__(self, made: Maker, vectors: int, room: Any) -> None:
        self.made, self.last = made, (vectors - 1) * LANES
        self.lanes = made.lanes(made.builder.sub(room, LONG(self.last)))

    def read(self, pointer: Any) -> list[Any]:
        whole = [self.made.vector(pointer, at) for at in range(0, self.last, LANES)]
        return [*whole, self.made.get(self.made.at(pointer, self.last), self.lanes)]

    def write(self, pointer: Any, values: list[Any]) -> None:
        for v, value in enumerate(values[:-1]):
            self.made.builder.store(
                value, self.made.builder.bitcast(self.made.at(pointer, v * LANES), VECTOR.as_pointer()), align=4
            )
        self.made.put(values[-1], self.made.at(pointer, self.last), self.lanes)


def chosen(made: Maker, number: Any, kernels: Mapping[int, Callable[[], None]]) -> None:
    """Goes on with the kernel of this number."""
    builder = made.builder
    after = builder.function.append_basic_block("after")
    switch = builder.switch(number, after)
    for case, kernel in kernels.items():
        block = builder.function.append_basic_block("case")
        switch.add_case(LONG(case), block)
        builder.position_at_end(block)
        kernel()
        builder.branch(after)
    builder.position_at_end(after)


def vectors_of(made: Maker, room: Any) -> Any:
    """How many vectors hold so many numbers."""
    return made.builder.sdiv(made.builder.add(room, LONG(LANES - 1)), LONG(LANES))


def combination(made: Maker) -> None:
    """What `combine` says, by the kernel for so many vectors."""
    chosen(made, vectors_of(made, made.values[-1]), {many: partial(combined, made, many) for many in range(1, MOST + 1)})


def combined(made: Maker, vectors: int) -> None:
    source, shift, offsets, values, count, target, at, room = made.values
    line, begin, to = Line(made, vectors, room), made.at(source, shift), made.at(target, at)

    def entry(i: Any, sums: list[Any]) -> list[Any]:
        value = made.splat(values, i)
        parts = line.read(made.at(begin, made.long(offsets, i)))
        return [made.times(value, part, total) for part, total in zip(parts, sums, strict=True)]

    line.write(to, made.loop(LONG(0), count, 1, line.read(to), entry))


@intrinsic
def combine(typing: Any, source: Any, shift: Any, offsets: Any, values: Any, count: Any, target: Any, at: Any, room: Any) -> Any:
    """target[at + k] += sum over i < count of values[i] source[shift + offsets[i] + k], k < room, MOST vectors at the most"""
    one = types.int64
    return types.void(FLOATS, one, LONGS, FLOATS, one, FLOATS, one, one), code_of(combination)


def collection(made: Maker) -> None:
    """What `collect` says, by the kernel for so many lines of so many vectors."""
    tall = made.builder.zext(made.builder.icmp_signed(">", made.values[-1], LONG(1)), LONG)
    number = made.builder.add(made.builder.mul(vectors_of(made, made.values[-2]), LONG(2)), tall)
    single = {2 * many: partial(collected, made, 1, many) for many in range(1, MOST + 1)}
    several = {2 * many + 1: partial(collected, made, height, many) for many, height in enumerate(TALL, 1) if height > 1}
    chosen(made, number, {**single, **several})


def collected(made: Maker, rows: int, vectors: int) -> None:
    builder = made.builder
    x, corners, winner, dy, at, step, count, images, size, down, target, to, pitch, run, _ = made.values
    line = Line(made, vectors, run)
    into = [made.at(target, builder.add(to, builder.mul(pitch, LONG(r)))) for r in range(rows)]
    nowhere, nothing = INT(0), ir.FloatType()(0.0)

    def image(n: Any, sums: list[Any]) -> list[Any]:
        begin, source = builder.add(at, builder.mul(n, builder.mul(count, step))), made.at(x, builder.mul(n, size))
        return made.loop(LONG(0), count, 1, sums, lambda i, sums: entry(source, builder.add(begin, builder.mul(i, step)), sums))

    def entry(source: Any, here: Any, sums: list[Any]) -> list[Any]:
        place, value = builder.load(made.at(winner, here)), builder.load(made.at(dy, here))
        there = builder.icmp_signed(">=", place, nowhere)
        corner = made.long(corners, builder.sext(builder.select(there, place, nowhere), LONG))
        many = made.spread(builder.select(there, value, nothing))
        lines = [made.at(source, builder.add(corner, builder.mul(down, LONG(r)))) for r in range(rows)]
        seen = [values for pointer in lines for values in line.read(pointer)]
        return [made.times(many, values, total) for values, total in zip(seen, sums, strict=True)]

    sums = made.loop(LONG(0), images, 1, [value for pointer in into for value in line.read(pointer)], image)
    for r, pointer in enumerate(into):
        line.write(pointer, sums[r * vectors : (r + 1) * vectors])


@intrinsic
def collect(typing: Any, x: Any, corners: Any, winner: Any, dy: Any, at: Any, step: Any, count: Any, images: Any, size: Any,
            down: Any, target: Any, to: Any, pitch: Any, run: Any, rows: Any) -> Any:  # fmt: skip
    """For lines of taps r < rows, which is 1 or what TALL says of the vectors of a run, and k < run:

    target[to + r pitch + k] += sum over n < images, i < count of dy[j] x[n size + corners[winner[j]] + r down + k],
    where j = at + (n count + i) step;   a winner below 0 gives nothing
    """
    one = types.int64
    given = (FLOATS, LONGS, INTS, FLOATS, one, one, one, one, one, one, FLOATS, one, one, one, one)
    return types.void(*given), code_of(collection)


pool_one, pool_two = pooler(1), pooler(2)
