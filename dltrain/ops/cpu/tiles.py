"""The two innermost kernels of direct convolution, written as LLVM vectors: a tile of sums stays in registers all the time.

What a loop vectoriser makes of the same sums reads and writes them in each step, at a quarter of the speed.  A vector has LANES
outputs; a tile is PLACES x VECTORS of them, so many that they fill the registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDE = "avx512f" in llvmlite.binding.get_host_cpu_features() and llvmlite.binding.get_host_cpu_features()["avx512f"]
LANES = 16 if WIDE else 8
PLACES = 8 if WIDE else 5  # places of a tile of `correlate`
ROWS = 12 if WIDE else 6  # rows of a tile of `gather`

FLOAT, LONG = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
FLOATS, LONGS = types.Array(types.float32, 1, "C"), types.Array(types.int64, 1, "C")


class Maker:
    """A few words for the instructions of one kernel."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.values = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        fma = ir.FunctionType(VECTOR, [VECTOR] * 3)
        self.fma = cgutils.get_or_insert_function(builder.module, fma, f"llvm.fma.v{LANES}f32")

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index if hasattr(index, "type") else LONG(index)])

    def long(self, pointer: Any, index: Any) -> Any:
        return self.builder.load(self.at(pointer, index))

    def vector(self, pointer: Any, index: Any = 0) -> Any:
        cast = self.builder.bitcast(self.at(pointer, index), VECTOR.as_pointer())
        return self.builder.load(cast, align=4)

    def spread(self, value: Any) -> Any:
        """A number in all lanes."""
        one = self.builder.insert_element(ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined), value, LONG(0))
        return self.builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    def splat(self, pointer: Any, index: Any = 0) -> Any:
        return self.spread(self.builder.load(self.at(pointer, index)))

    def times(self, a: Any, b: Any, total: Any) -> Any:
        return self.builder.call(self.fma, [a, b, total])

    def loop(
        self, first: Any, last: Any, step: int, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """What body(i, carried) has made of the carried values after i = first, first + step, … below last."""
        builder, function = self.builder, self.builder.function
        before, test = builder.block, function.append_basic_block("test")
        inside, after = function.append_basic_block("inside"), function.append_basic_block("after")
        builder.branch(test)
        builder.position_at_end(test)
        index = builder.phi(LONG)
        index.add_incoming(first, before)
        phis = [builder.phi(value.type) for value in carried]
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", index, last), inside, after)
        builder.position_at_end(inside)
        made = body(index, phis)
        following = builder.add(index, LONG(step))
        for phi, value in zip([index, *phis], [following, *made], strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(test)
        builder.position_at_end(after)
        return phis

    def lanes(self, room: Any) -> Any:
        """Which lanes of a vector lie within `room` numbers."""
        many = self.spread(self.builder.trunc(room, ir.IntType(32)))
        return self.builder.icmp_signed("<", ir.Constant(many.type, list(range(LANES))), many)

    def masked(self, what: str, kind: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.{what}.v{LANES}f32.p0")

    def put(self, value: Any, pointer: Any, lanes: Any) -> None:
        """Stores these lanes of a vector."""
        target = self.builder.bitcast(pointer, VECTOR.as_pointer())
        store = self.masked("store", ir.FunctionType(ir.VoidType(), [VECTOR, target.type, ir.IntType(32), lanes.type]))
        self.builder.call(store, [value, target, ir.IntType(32)(4), lanes])

    def get(self, pointer: Any, lanes: Any) -> Any:
        """These lanes of a vector, 0 in the others."""
        source = self.builder.bitcast(pointer, VECTOR.as_pointer())
        load = self.masked("load", ir.FunctionType(VECTOR, [source.type, ir.IntType(32), lanes.type, VECTOR]))
        return self.builder.call(load, [source, ir.IntType(32)(4), lanes, ir.Constant(VECTOR, None)])


def code_of(body: Callable[..., None], *fixed: Any) -> Callable[..., Any]:
    """What Numba calls to write a kernel: body(maker, fixed…) without the values that Numba hands over."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        body(Maker(context, builder, signature, arguments), *fixed)
        return context.get_dummy_value()

    return code


def correlation(made: Maker, vectors: int) -> None:
    """The tile of `correlator`: corners and biases, the sums, and what of them is stored."""
    builder, ways = made.builder, 2 if vectors == 1 else 1
    x, places, taps, count, run, w, bias, y, targets, at, number, room = made.values
    last = [builder.select(builder.icmp_signed("<", LONG(p), number), LONG(p), LONG(0)) for p in range(PLACES)]
    corners = [made.at(x, made.long(places, builder.add(at, p))) for p in last]
    start = [made.vector(bias, v * LANES) for v in range(vectors)]
    sums = [start[v] if way == 0 else ir.Constant(VECTOR, None) for way in range(ways) for _ in last for v in range(vectors)]

    def tap(t: Any, sums: list[Any]) -> list[Any]:
        rows = [made.at(corner, made.long(taps, t)) for corner in corners]
        panel = made.at(w, builder.mul(t, builder.mul(run, LONG(vectors * LANES))))
        even = builder.sub(run, builder.srem(run, LONG(ways)))
        sums = made.loop(LONG(0), even, ways, sums, lambda k, sums: steps(made, rows, panel, k, sums, vectors, ways))
        if ways == 1:
            return sums
        return made.loop(even, run, 1, sums, lambda k, sums: steps(made, rows, panel, k, sums, vectors, 1))

    sums = made.loop(LONG(0), count, 1, sums, tap)
    lanes = [made.lanes(builder.sub(room, LONG(v * LANES))) for v in range(vectors)]
    for p in range(PLACES):
        with builder.if_then(builder.icmp_signed("<", LONG(p), number)):
            target = made.at(y, made.long(targets, builder.add(at, LONG(p))))
            for v in range(vectors):
                parts = [sums[(way * PLACES + p) * vectors + v] for way in range(ways)]
                made.put(builder.fadd(*parts) if ways > 1 else parts[0], made.at(target, v * LANES), lanes[v])


def steps(made: Maker, rows: list[Any], panel: Any, k: Any, sums: list[Any], vectors: int, ways: int) -> list[Any]:
    """The sums after the numbers k, k + 1, … (one for each way) of every row."""
    builder, width, sums = made.builder, LONG(vectors * LANES), list(sums)
    for way in range(ways):
        now = builder.add(k, LONG(way))
        weights = made.at(panel, builder.mul(now, width))
        vector = [made.vector(weights, v * LANES) for v in range(vectors)]
        for p, row in enumerate(rows):
            value = made.splat(row, now)
            for v in range(vectors):
                i = (way * PLACES + p) * vectors + v
                sums[i] = made.times(value, vector[v], sums[i])
    return sums


def correlator(vectors: int) -> Any:
    """The kernel of tiles of so many vectors; with one, even and odd steps have sums of their own, to keep both units busy.

    For p < number:   y[targets[at + p]] = bias + sum over t < count, k < run of x[places[at + p] + taps[t] + k] w[t run + k]
    where w is in rows of a tile's width, and only the first `room` numbers of y's row are written.
    """
    code = code_of(correlation, vectors)

    @intrinsic
    def correlate(typing: Any, x: Any, places: Any, taps: Any, count: Any, run: Any, w: Any, bias: Any, y: Any,
                  targets: Any, at: Any, number: Any, room: Any) -> Any:  # fmt: skip
        one = types.int64
        return types.void(FLOATS, LONGS, LONGS, one, one, FLOATS, FLOATS, FLOATS, LONGS, one, one, one), code

    return correlate


def collection(made: Maker, vectors: int) -> None:
    """The tile of `gatherer`."""
    builder, height = made.builder, ROWS * 2 // vectors
    x, places, dy, step, first, last, dw, pitch, number, room = made.values
    lanes = [made.lanes(builder.sub(room, LONG(v * LANES))) for v in range(vectors)]

    def place(q: Any, sums: list[Any]) -> list[Any]:
        corner, slope = made.at(x, made.long(places, q)), made.at(dy, builder.mul(q, step))
        vector = [made.get(made.at(slope, v * LANES), lanes[v]) for v in range(vectors)]
        values = [made.splat(corner, r) for r in range(height)]
        return [made.times(values[i // vectors], vector[i % vectors], total) for i, total in enumerate(sums)]

    sums = made.loop(first, last, 1, [ir.Constant(VECTOR, None)] * (height * vectors), place)
    for r in range(height):
        with builder.if_then(builder.icmp_signed("<", LONG(r), number)):
            target = made.at(dw, builder.mul(pitch, LONG(r)))
            for v in range(vectors):
                there = made.at(target, v * LANES)
                made.put(builder.fadd(sums[r * vectors + v], made.get(there, lanes[v])), there, lanes[v])


def gatherer(vectors: int) -> Any:
    """The kernel of the weight gradient, of tiles of ROWS * 2 / vectors rows.

    For r < number, o < room:   dw[r pitch + o] += sum over from <= q < to of x[places[q] + r] dy[q step + o]
    All rows are read, so x must go on behind the last place.
    """
    code = code_of(collection, vectors)

    @intrinsic
    def gather(typing: Any, x: Any, places: Any, dy: Any, step: Any, first: Any, last: Any, dw: Any, pitch: Any,
               number: Any, room: Any) -> Any:  # fmt: skip
        one = types.int64
        return types.void(FLOATS, LONGS, FLOATS, one, one, one, FLOATS, one, one, one), code

    return gather


correlate_one, correlate_two = correlator(1), correlator(2)
gather_one, gather_two = gatherer(1), gatherer(2)
