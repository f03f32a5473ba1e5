"""Every op that the CPU does in its own way does what the reference does, over generated shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import prod, tanh
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.memory import Bound, Memory
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu, convolution, dense, embed, images, recurrent, tiled  # noqa: F401  they fill the recipes
from dltrain.ops.cpu import channels as of_channels
from dltrain.ops.cpu import norms as of_norms  # noqa: F401
from dltrain.ops.cpu.backend import RECIPES, recipe_of
from dltrain.ops.cpu.scratch import Scratch, carve
from dltrain.ops.formula import formula
from dltrain.ops.signature import OPS, Call
from dltrain.ops.window import Window
from dltrain.plan import make_plan
from dltrain.plan.hazards import hazards
from dltrain.program import Pool, Program
from dltrain.store import Store
from dltrain.tensor import Shape, Tensor

Args = dict[str, Any]
GUARD = 64  # elements before and behind each array that nobody may touch
TOLERANCE = 1e-5  # of the largest value, or of 1, which is about how large the inputs are


@dataclass
class Case:
    """One call: arrays for what is read, shapes for what is written, and how the kernels are tuned meanwhile."""

    args: Args
    tuned: dict[str, Any] = field(default_factory=dict)  # numbers of convolution.py that choose between its ways
    shared: str = ""  # the input whose memory the output takes over
    loose: tuple[str, ...] = ()  # index outputs that rounding may change


class Held:
    """Every tensor by itself between two guards, as the back end wants it in memory."""

    def __init__(self, backend: Reference) -> None:
        self.backend = backend
        self.raw: dict[Tensor, Any] = {}

    def hold(self, tensor: Tensor) -> None:
        dtype = self.backend.dtype_of(tensor)
        self.raw[tensor] = np.full(tensor.shape.count + 2 * GUARD, dirt(dtype), dtype)

    def memory(self, tensor: Tensor) -> Any:
        order = self.backend.order(tensor.shape)
        return self.raw[tensor][GUARD:-GUARD].reshape([tensor.shape[axis] for axis in order])

    def logical(self, tensor: Tensor) -> Any:
        order = self.backend.order(tensor.shape)
        return self.memory(tensor).transpose([order.index(axis) for axis in range(len(order))])

    def check_guards(self) -> None:
        for tensor, raw in self.raw.items():
            for guard in (raw[:GUARD], raw[-GUARD:]):
                untouched = np.isnan(guard) if guard.dtype.kind == "f" else guard == dirt(guard.dtype)
                assert untouched.all(), f"{tensor} was overrun"


def dirt(dtype: Any) -> Any:
    """What lies in memory that nobody has written yet."""
    return np.nan if np.dtype(dtype).kind == "f" else 77


def shaped(value: Any) -> Shape:
    if isinstance(value, Shape):
        return value
    kinds = {"i": "index", "u": "byte"}
    return Shape(value.shape, "double" if value.dtype == np.float64 else kinds.get(value.dtype.kind, "float"))  # type: ignore[arg-type]


def each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) and not isinstance(value, Shape) else (value,)


def call_of(name: str, args: Args) -> tuple[Call, list[tuple[str, Tensor, Any]]]:
    """The call, and (argument, tensor, array or None) for each of its tensors."""
    op, made, tensors = OPS[name], dict(args), []
    for argument, mode in op.modes.items():
        given = args[argument]
        if given is None:
            continue
        held = [Tensor(argument, shaped(one), "arena" if mode == "out" else "input") for one in each(given)]
        made[argument] = tuple(held) if isinstance(given, tuple) and not isinstance(given, Shape) else held[0]
        tensors += [(argument, tensor, None if mode == "out" else value) for tensor, value in zip(held, each(given), strict=True)]
    return Call(op, made, "it"), tensors


def results(call: Call, tensors: Any, read: Callable[[Tensor], Any]) -> dict[str, Any]:
    written = {id(tensor): None for tensor in call.writes()}
    named = [(argument, tensor) for argument, tensor, _ in tensors if id(tensor) in written]
    return {f"{argument} {place}": read(tensor).copy() for place, (argument, tensor) in enumerate(named)}


def compute(name: str, case: Case, backend: Reference, turn: int = 0) -> dict[str, Any]:
    """What one back end makes of a call that is bound before the values are known.

    The workers go one after another, beginning at `turn`: their order cannot matter.
    """
    call, tensors = call_of(name, case.args)
    held = Held(backend)
    for argument, tensor, _ in tensors:
        if argument in ("y", "dx") and case.shared:
            donor = next(tensor for argument, tensor, _ in tensors if argument == case.shared)
            held.raw[tensor] = held.raw[donor]
        else:
            held.hold(tensor)
    backend.begin_segment()
    work = backend.bind(call, held)
    for _, tensor, value in tensors:
        if value is not None:
            held.logical(tensor)[...] = value
    if isinstance(backend, Cpu):
        for memory in (*(scratch.array for scratch in backend.scratches), *backend.parts):
            memory[:] = np.nan
    for kernels in (work.kernels, work.finish):
        for place in range(len(kernels)):
            kernels[(place + turn) % len(kernels)]()
    held.check_guards()
    written = {id(tensor) for tensor in call.writes()}
    for argument, tensor, value in tensors:
        if id(tensor) not in written and argument != case.shared:
            np.testing.assert_array_equal(held.logical(tensor), value, err_msg=f"{argument} is only read")
    return results(call, tensors, held.logical)


def expected(name: str, case: Case) -> dict[str, Any]:
    """What the reference makes of it, in float64, nothing shared."""
    with np.errstate(invalid="ignore"):
        return compute(name, Case(case.args), Reference(np.float64))


def compare(found: dict[str, Any], right: dict[str, Any], case: Case) -> None:
    assert found.keys() == right.keys()
    for name, want in right.items():
        got = found[name]
        if want.dtype.kind == "i":
            if name.split()[0] not in case.loose:
                np.testing.assert_array_equal(got, want, err_msg=name)
            continue
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=f"NaN in {name}")
        finite = np.isfinite(want)
        np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=name)
        largest = np.abs(want[finite]).max(initial=1.0)
        error = np.abs(got[finite] - want[finite]).max(initial=0)
        assert error <= TOLERANCE * largest, f"{name} is off by {error} where the largest value is {largest}"


def tuned(case: Case) -> AbstractContextManager[Any]:
    module = of_channels if "BLOCK" in case.tuned else convolution
    return patch.multiple(module, **case.tuned) if case.tuned else nullcontext()


# --- numbers ---
def whole(rng: Any, shape: tuple[int, ...]) -> Any:
    """Small whole numbers: sums of products are exact, and maxima tie."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def real(rng: Any, shape: tuple[int, ...]) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def holed(rng: Any, shape: tuple[int, ...]) -> Any:
    """Whole numbers, some of them missing."""
    return np.where(rng.random(shape) < 0.1, np.float32(np.nan), whole(rng, shape))


def solid(a: Any) -> Any:
    """Without zeros: whether NaN times 0 is NaN is up to the BLAS."""
    return np.where(a == 0, np.float32(1), a)


def wild(rng: Any, shape: tuple[int, ...]) -> Any:
    """Few whole numbers, and much that is none."""
    return rng.choice(np.array([np.nan, -np.inf, -np.inf, np.inf, -3e38, 1, 2], np.float32), shape)


class Draw:
    """What the strategies share: small numbers of hypothesis, arrays of NumPy from a seed that hypothesis gives."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.rng = np.random.default_rng(self.number(0, 2**32 - 1))

    def number(self, low: int, high: int) -> int:
        return int(self.data.draw(some.integers(low, high)))

    def choice(self, *values: Any) -> Any:
        return self.data.draw(some.sampled_from(values))

    def yes(self) -> bool:
        return bool(self.data.draw(some.booleans()))

    def array(self, *shape: int, kinds: Any = (whole, real)) -> Any:
        return self.choice(*kinds)(self.rng, shape)

    def maybe(self, value: Any) -> Any:
        return value if self.yes() else None

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.number(low, high), self.number(low, high)

    def labels(self, shape: tuple[int, ...], classes: int) -> Any:
        return self.rng.integers(0, classes, shape).astype(np.int32)


# --- images ---
def always(*shapes: Any) -> bool:
    return True


def never(*shapes: Any) -> bool:
    return False


TUNINGS = {
    "BUDGET": (1, 200, 1 << 21), "SPARSITY": (0, 3, 1 << 30),
    "suits": (tiled.suits, always, never),
}  # fmt: skip


def tuning(draw: Draw) -> dict[str, Any]:
    """Few samples a chunk or many; with and without the sparse and the tile kernels."""
    return {name: draw.choice(*values) for name, values in TUNINGS.items()}


def convolved(draw: Draw) -> tuple[Any, Any, Window, Shape]:
    """x, w, the window, and the shape of y."""
    group = draw.choice(1, 1, 1, 2, 3)
    channels, outputs = group * draw.choice(1, 1, 2, 3), group * draw.choice(1, 2, 5, 18, 33)
    kernel = (draw.choice(1, 2, 3, 5), draw.choice(1, 2, 3, 5))
    window = Window(kernel, draw.pair(1, draw.choice(1, 4)), draw.pair(0, 2), draw.pair(1, draw.choice(1, 2)), group)
    least = [max(1, extent - 2 * pad) for extent, pad in zip(window.extent, window.pad, strict=True)]
    sizes = (least[0] + draw.number(0, 6), least[1] + draw.number(0, 6))
    x = draw.array(draw.number(1, 4), channels, *sizes)
    w = solid(draw.array(outputs, channels // group, *kernel))
    return x, w, window, Shape((len(x), outputs, *window.convolved(sizes)))


def pooled(draw: Draw, sizes: tuple[int, ...], gaps: bool = False) -> tuple[Window, tuple[int, ...]]:
    """A pooling window that fits images of these sizes, and what it makes of them."""
    kernel, stride, pad = [], [], []
    for size in sizes:
        k = draw.choice(1, 2, 2, 3, 4)
        p = draw.number(0, k - 1) if draw.yes() else 0
        k = k if k <= size + 2 * p else p + 1
        kernel.append(k)
        pad.append(p)
        stride.append(draw.number(1, 5 if gaps else k))
    window = Window(tuple(kernel), tuple(stride), tuple(pad))
    return window, window.pooled(sizes, draw.yes())


def conv(draw: Draw) -> Case:
    x, w, window, y = convolved(draw)
    x = holed(draw.rng, x.shape) if draw.number(0, 4) == 0 else x
    return Case({"x": x, "w": w, "b": draw.maybe(draw.array(y[1])), "y": y, "window": window}, tuning(draw))


def separate(draw: Draw) -> tuple[Any, Any, Window, Shape]:
    """As `convolved`, each channel by itself."""
    c, kernel = draw.choice(8, 17, 40), draw.pair(1, 4)
    window = Window(kernel, draw.pair(1, draw.choice(1, 4)), draw.pair(0, 3), draw.pair(1, draw.choice(1, 3)), c)
    least = [max(1, extent - 2 * pad) for extent, pad in zip(window.extent, window.pad, strict=True)]
    sizes = (least[0] + draw.number(0, 6), least[1] + draw.number(0, 6))
    x = draw.array(draw.number(1, 4), c, *sizes)
    return x, solid(draw.array(c, 1, *kernel)), window, Shape((len(x), c, *window.convolved(sizes)))


def depthwise_conv(draw: Draw) -> Case:
    x, w, window, y = separate(draw)
    return Case({"x": x, "w": w, "b": draw.maybe(draw.array(y[1])), "y": y, "window": window})


def depthwise_conv_elementwise(draw: Draw) -> Case:
    return Case({**depthwise_conv(draw).args, "formula": formula(leaky), "constants": (0.25,)})


def depthwise_conv_dx(draw: Draw) -> Case:
    x, w, window, y = separate(draw)
    return Case({"w": w, "dy": draw.array(*y), "dx": Shape(x.shape), "window": window})


def depthwise_conv_grad(draw: Draw) -> Case:
    x, w, window, y = separate(draw)
    wanted = draw.choice("xwb", "xw", "xb", "wb", "w", "b")
    args = {"dx": Shape(x.shape) if "x" in wanted else None, "dw": draw.array(*w.shape) if "w" in wanted else None}
    return Case(
        {"x": x, "w": w, "dy": draw.array(*y), **args, "db": draw.array(y[1]) if "b" in wanted else None, "window": window}
    )


def activated(make: Callable[[Draw], Case]) -> Callable[[Draw], Case]:
    def drawn(draw: Draw) -> Case:
        case = make(draw)
        case.args |= (
            {"formula": formula(leaky), "constants": (0.25,)} if draw.yes() else {"formula": formula(squash), "constants": ()}
        )
        return case

    return drawn


conv_elementwise = activated(conv)


def conv_grad(draw: Draw) -> Case:
    x, w, window, y = convolved(draw)
    dx, dw, db = Shape(x.shape), draw.array(*w.shape), draw.array(y[1])
    wanted = draw.choice("xwb", "xw", "xb", "x", "wb", "w", "b")
    args = {"dx": dx if "x" in wanted else None, "dw": dw if "w" in wanted else None, "db": db if "b" in wanted else None}
    return Case({"x": x, "w": w, "dy": draw.array(*y), **args, "window": window}, tuning(draw))


def conv_dx(draw: Draw) -> Case:
    x, w, window, y = convolved(draw)
    return Case({"w": w, "dy": draw.array(*y, kinds=(whole, real, holed)), "dx": Shape(x.shape), "window": window}, tuning(draw))


def conv_max_pool(draw: Draw) -> Case:
    x, w, window, plane = convolved(draw)
    exact = draw.yes()
    if exact:
        x, w = draw.array(*x.shape, kinds=[whole, whole, holed]), solid(whole(draw.rng, w.shape))
    b = draw.maybe(draw.array(plane[1], kinds=[whole] if exact else [real]))
    pool, sizes = pooled(draw, plane[2:])
    y = Shape((*plane[:2], *sizes))
    args = {"x": x, "w": w, "b": b, "y": y, "winner": Shape(y, "index"), "window": window, "pool": pool}
    return Case(args, tuning(draw), loose=() if exact else ("winner",))


def conv_max_pool_grad(draw: Draw) -> Case:
    case = conv_grad(draw)
    full = case.args["dy"]
    pool, sizes = pooled(draw, full.shape[2:])
    y, winner = np.zeros((*full.shape[:2], *sizes)), np.zeros((*full.shape[:2], *sizes), np.int32)
    OPS["max_pool"].function(full, y, winner, pool)
    return Case({**case.args, "dy": draw.array(*y.shape), "winner": winner, "pool": pool}, tuning(draw))


def max_pool(draw: Draw) -> Case:
    sizes = draw.pair(1, 9)
    window, made = pooled(draw, sizes, gaps=True)
    if any((m - 1) * s - p >= n for m, n, s, p in zip(made, sizes, window.stride, window.pad, strict=True)):
        window, made = pooled(draw, sizes)  # a window with no element gives the lowest number of the type: not alike in float64
    x = draw.array(draw.number(1, 4), draw.choice(1, 2, 3, 17), *sizes, kinds=(whole, real, holed, wild))
    y = Shape((*x.shape[:2], *made))
    return Case({"x": x, "y": y, "winner": Shape(y, "index"), "window": window})


def max_pool_dx(draw: Draw) -> Case:
    """With windows that lie in the gaps, too: their winner is -1."""
    sizes = draw.pair(1, 9)
    window, made = pooled(draw, sizes, gaps=True)
    x = draw.array(draw.number(1, 4), draw.choice(1, 2, 3, 17), *sizes)
    y, winner = np.zeros((*x.shape[:2], *made)), np.zeros((*x.shape[:2], *made), np.int32)
    OPS["max_pool"].function(x, y, winner, window)
    winner[draw.rng.random(winner.shape) < 0.1] = -1
    return Case({"dy": draw.array(*y.shape, kinds=(whole, real, holed)), "winner": winner, "dx": Shape(x.shape)})


def mean_pool(draw: Draw) -> Case:
    sizes = draw.pair(1, 9)
    window, made = pooled(draw, sizes)
    x = draw.array(draw.number(1, 4), draw.choice(1, 2, 3, 17), *sizes, kinds=(whole, real, holed))
    return Case({"x": x, "y": Shape((*x.shape[:2], *made)), "window": window})


def mean_pool_dx(draw: Draw) -> Case:
    case = mean_pool(draw)
    dy = draw.array(*case.args["y"], kinds=(whole, real, holed))
    return Case({"dy": dy, "dx": Shape(case.args["x"].shape), "window": case.args["window"]})


def reshape(draw: Draw) -> Case:
    """Any rank to any rank, the samples unchanged."""
    sizes = [draw.number(1, 4) for _ in range(draw.number(0, 5))]

    def grouped() -> tuple[int, ...]:
        rank = draw.number(0, len(sizes))
        cuts = sorted(draw.number(0, len(sizes)) for _ in range(max(rank - 1, 0)))
        ends = [0, *cuts, len(sizes)] if rank or len(sizes) else []
        return tuple(prod(sizes[a:b]) for a, b in zip(ends, ends[1:], strict=False))

    samples = draw.number(1, 4)
    return Case({"x": draw.array(samples, *grouped()), "y": Shape((samples, *grouped()))})


def dropout(draw: Draw) -> Case:
    sizes = [draw.number(1, 5) for _ in range(draw.number(1, 5))]
    x = draw.array(*sizes, kinds=(real, holed))
    count = np.array([draw.choice(0, 1, 7, 2**31, 2**40)], np.float64)
    ratio = draw.choice(0.5, 0.1, 0.001, 0.9, 0.99, 0.999, 0.99999)
    args = {"x": x, "count": count, "y": Shape(sizes), "ratio": ratio, "key": (draw.number(0, 2**32 - 1), 5)}
    return Case(args, shared=draw.choice("", "x"))


# --- matrices ---
def inner_product(draw: Draw) -> Case:
    n, o, k = draw.number(1, 5), draw.choice(1, 3, 16, 37), draw.choice(1, 5, 33)
    x = draw.array(n, k, kinds=(whole, real, holed))
    return Case({"x": x, "w": solid(draw.array(o, k)), "b": draw.maybe(draw.array(o)), "y": Shape((n, o))})


def product_of_few(draw: Draw) -> Case:
    """No more samples than outputs."""
    n, o, k = draw.number(1, 5), draw.choice(5, 16, 17, 37, 50), draw.choice(1, 5, 33)
    x = draw.array(n, k, kinds=(whole, real, holed))
    return Case({"x": x, "w": solid(draw.array(o, k)), "b": draw.maybe(draw.array(o)), "y": Shape((n, o))})


def inner_product_dx(draw: Draw) -> Case:
    n, o, k = draw.number(1, 5), draw.choice(1, 3, 37), draw.choice(1, 5, 33)
    return Case({"w": solid(draw.array(o, k)), "dy": draw.array(n, o, kinds=(whole, real, holed)), "dx": Shape((n, k))})


def inner_product_dw(draw: Draw) -> Case:
    n, o, k = draw.number(1, 5), draw.choice(1, 3, 37), draw.choice(1, 5, 33)
    dw, db = draw.choice((True, True), (True, False), (False, True))
    args = {"dw": draw.array(o, k) if dw else None, "db": draw.array(o) if db else None}
    return Case({"x": solid(draw.array(n, k)), "dy": draw.array(n, o, kinds=(whole, real, holed)), **args})


def looked_up(draw: Draw) -> Case:
    size, rows, places = draw.choice(1, 5, 16, 37), draw.number(1, 9), [draw.number(1, 4) for _ in range(draw.number(1, 3))]
    x = draw.labels(tuple(places), rows)
    args = {"x": x, "w": draw.array(rows, size), "b": draw.maybe(draw.array(size)), "y": Shape((*places, size)), "name": "it"}
    return Case(args)


def looked_up_dw(draw: Draw) -> Case:
    case = looked_up(draw).args
    dw, db = draw.choice((True, True), (True, False), (False, True))
    args = {"dw": case["w"] if dw else None, "db": draw.array(case["y"][-1]) if db else None}
    return Case({"x": case["x"], "dy": draw.array(*case["y"]), **args})


# --- sequences ---
BLOCKS = {"rnn": 1, "lstm": 4, "gru": 3}
NOTES = {"rnn": ((1, 1),), "lstm": ((1, 1), (0, 4), (1, 1)), "gru": ((1, 1), (0, 4))}  # steps besides T, and widths in H


def sequence(draw: Draw) -> Case:
    """One step, or a sequence with levels and ways; borders, padding and first states now and then."""
    kind = draw.choice("rnn_tanh", "rnn_relu", "lstm", "lstm", "gru_after", "gru_before")
    family, time = kind.split("_")[0], draw.choice(1, 1, 0, None)
    n, t, d, h = draw.number(1, 5), 1 if time is None else draw.number(1, 4), draw.choice(1, 3, 17), draw.choice(1, 2, 5, 16)
    levels, ways = (1, 1) if time is None else (draw.choice(1, 1, 2), draw.choice(1, 1, 2))
    static, out, peep, bias = draw.yes(), draw.yes(), draw.yes(), draw.yes()
    weights: Args = {}
    for part in range(levels * ways):
        rows, seen = BLOCKS[family] * h, d if part < ways else ways * h
        shapes: dict[str, tuple[int, ...]] = {"weight_x": (rows, seen), "weight_h": (rows, h)}
        shapes |= {"bias": (rows,)} if bias else {}
        shapes |= {"weight_static": (rows, 2)} if static and part < ways else {}
        shapes |= {"weight_c": (3, h)} if family == "lstm" and peep else {}
        shapes |= {"weight_o": (h, h)} | ({"bias_o": (h,)} if bias else {}) if family == "rnn" and out else {}
        shapes |= {"bias_h": (h,)} if family == "gru" and (bias or kind == "gru_after") else {}
        end = (f"_l{part // ways}" if part >= ways else "") + ("_reverse" if part % ways else "")
        weights |= {role + end: real(draw.rng, shape) * np.float32(0.4) for role, shape in shapes.items()}
    steps = {1: (n, t), 0: (t, n), None: (n,)}[time]
    state, two, first = Shape((n, h) if levels * ways == 1 else (n, levels * ways, h)), family == "lstm", draw.yes()
    notes = ((0, 1), *NOTES[family]) if family == "rnn" and out else NOTES[family]
    held = [Shape((t + more, n, wide * h)) for _ in range(levels * ways) for more, wide in notes]
    borders = {
        name: (draw.rng.random(steps) < 0.7).astype(np.float32) if draw.number(0, 2) == 0 else None for name in ("cont", "mask")
    }
    args: Args = {"x": real(draw.rng, (*steps, d)), "weights": tuple(weights.values()), "names": tuple(weights), "kind": kind}
    args |= {"y": Shape((*steps, ways * h)), "tape": tuple(held) if draw.number(0, 4) else (), "time": time}
    args |= borders if time is not None else {"cont": None, "mask": None}
    args |= {"x_static": real(draw.rng, (n, 2)) if static else None, "state": draw.maybe(state)}
    args |= {"h0": real(draw.rng, state) if first else None, "c0": real(draw.rng, state) if first and two else None}
    args |= {"cell": draw.maybe(state) if two else None, "carried": None, "carried_cell": None}
    if not first and draw.yes():
        shape = (n, levels * ways, h)
        args |= {"carried": real(draw.rng, shape), "carried_cell": real(draw.rng, shape) if two else None}
    return Case(args)


def sequence_grad(draw: Draw) -> Case:
    """The way back from what the way forward has really noted."""
    case = sequence(draw).args
    shapes, n = dict(zip(case["names"], case["weights"], strict=True)), case["x"].shape[1 if case["time"] == 0 else 0]
    h = shapes["weight_h"].shape[1]
    parts, t = (
        sum(name.startswith("weight_x") for name in shapes),
        case["y"].count // n // h // (1 + ("weight_x_reverse" in shapes)),
    )
    family = case["kind"].split("_")[0]
    notes = ((0, 1), *NOTES[family]) if "weight_o" in shapes else NOTES[family]
    case |= {
        "tape": tuple(Shape((t + more, n, wide * h)) for _ in range(parts) for more, wide in notes),
        "state": None,
        "cell": None,
    }
    right = compute("recurrent", Case(case), Reference(np.float64))
    tape = tuple(value.astype(np.float32) for name, value in right.items() if name.startswith("tape"))
    learns = tuple(name for name in shapes if draw.number(0, 5))
    state = Shape((n, h) if parts == 1 else (n, parts, h))
    args = {name: case[name] for name in ("x", "weights", "names", "kind", "time", "cont", "mask", "x_static")}
    args |= {"tape": tape, "dy": real(draw.rng, case["y"]), "learns": learns}
    args |= {"dweights": tuple(real(draw.rng, shapes[name].shape) for name in learns)}
    args |= {
        name: real(draw.rng, state) if draw.yes() and two else None
        for name, two in (("dstate", True), ("dcell", family == "lstm"))
    }
    args |= {
        "dx": draw.maybe(Shape(case["x"].shape)),
        "dh0": draw.maybe(state),
        "dc0": draw.maybe(state) if family == "lstm" else None,
    }
    return Case(args | {"dx_static": None if case["x_static"] is None else draw.maybe(Shape(case["x_static"].shape))})


# --- elementwise ---
def leaky(x: float, slope: float) -> float:
    return x if x > 0 else slope * x


def leaky_slope(y: float, dy: float, slope: float) -> float:
    return dy if y > 0 else slope * dy


def squash(x: float) -> float:
    return tanh(x)


def elementwise(draw: Draw) -> Case:
    sizes = [draw.number(1, 5) for _ in range(draw.number(1, 5))]
    function, count, constants = draw.choice((leaky, 1, (0.1,)), (leaky_slope, 2, (0.0,)), (squash, 1, ()))
    xs = tuple(draw.array(*sizes, kinds=(whole, real, holed)) for _ in range(count))
    args = {"xs": xs, "y": Shape(sizes), "formula": formula(function), "constants": constants, "monotone": False}
    return Case(args, shared=draw.choice("", "xs"))


def weighted_sum(draw: Draw) -> Case:
    sizes = [draw.number(1, 5) for _ in range(draw.number(1, 5))]
    xs = tuple(draw.array(*sizes, kinds=(whole, real, holed)) for _ in range(draw.number(1, 4)))
    weights = tuple(draw.choice(1.0, 1.0, 0.5, -1.0, 0.0, 0.3) for _ in xs)
    return Case({"xs": xs, "y": Shape(sizes), "weights": weights}, shared=draw.choice("", "xs"))


# --- channels ---
def normed(draw: Draw) -> Args:
    """x (N, C) or (N, C, H, W), far from 0 or not, with statistics that need not be its own."""
    sizes = draw.choice((), draw.pair(1, 7), (20, 17))
    c = draw.choice(1, 2, 3, 16, 37, 600)
    x = draw.array(draw.number(1, 5), c, *sizes) + draw.choice(0, 0, np.float32(10))
    statistics = {"mean": draw.array(c), "variance": np.abs(draw.array(c)) + np.float32(0.1)}
    return {"x": x, **statistics, "eps": draw.choice(1e-5, 0.1)}


def channel_moments(draw: Draw) -> Case:
    args = normed(draw)
    c = args["x"].shape[1:2]
    return Case({"x": args["x"], "mean": Shape(c), "variance": Shape(c)}, {"BLOCK": draw.choice(3, 256)})


def channel_norm(draw: Draw) -> Case:
    args = normed(draw)
    affine = draw.yes()
    both = {name: draw.array(args["x"].shape[1]) if affine else None for name in ("scale", "bias")}
    return Case({**args, **both, "y": Shape(args["x"].shape)}, shared=draw.choice("", "x"))


def channel_norm_elementwise(draw: Draw) -> Case:
    args = channel_norm(draw).args
    act = {"formula": formula(leaky), "constants": (0.25,)} if draw.yes() else {"formula": formula(squash), "constants": ()}
    return Case({**args, "other": draw.maybe(draw.array(*args["x"].shape)), **act})


def channel_norm_dw(draw: Draw) -> Case:
    args = normed(draw)
    c = args["x"].shape[1]
    grads = {name: draw.maybe(draw.array(c)) for name in ("dscale", "dbias")}
    sums = draw.maybe(Shape((c,)))
    dy = draw.array(*args["x"].shape)
    return Case({**args, "dy": dy, **grads, "total": sums, "along": sums}, {"BLOCK": draw.choice(3, 256)})


def channel_norm_dx(draw: Draw) -> Case:
    args = normed(draw)
    c, own = args["x"].shape[1], draw.yes()
    sums = {name: draw.array(c) if own else None for name in ("total", "along")}
    dy, scale = draw.array(*args["x"].shape), draw.maybe(draw.array(c))
    return Case({**args, "scale": scale, "dy": dy, **sums, "dx": Shape(args["x"].shape)}, shared=draw.choice("", "dy"))


def lrn(draw: Draw) -> Case:
    sizes = draw.choice((), draw.pair(1, 5))
    x = draw.array(draw.number(1, 4), draw.choice(1, 2, 3, 16, 37), *sizes)
    numbers = {"size": draw.choice(1, 3, 5, 9), "beta": draw.choice(0.75, 0.5, 1.3), "rate": draw.choice(0.2, 1e-4)}
    return Case({"x": x, "local": Shape(x.shape), "y": Shape(x.shape), "axes": (1,), "offset": draw.choice(1.0, 2.0), **numbers})


def lrn_dx(draw: Draw) -> Case:
    args = lrn(draw).args
    x = args.pop("x")
    del args["y"], args["offset"]
    local, dy = np.abs(draw.array(*x.shape)) + np.float32(0.5), draw.array(*x.shape)
    return Case({**args, "x": x, "local": local, "dy": dy, "dx": Shape(x.shape)}, shared=draw.choice("", "dy"))


# --- classes ---
def scores(draw: Draw, kinds: Any = (whole, real, holed)) -> tuple[Any, tuple[int, ...], int]:
    """x (N, C), (N, C, H, W) or (N, T, C), the places without the classes, and C."""
    n, classes = draw.number(1, 5), draw.choice(1, 2, 3, 10, 17)
    if draw.number(0, 2) == 0:
        steps = draw.number(1, 4)
        return draw.array(n, steps, classes, kinds=kinds), (n, steps), classes
    spatial = draw.pair(1, 4) if draw.yes() else ()
    x = draw.array(n, classes, *spatial, kinds=kinds) * draw.choice(1, 1, 50)
    return x, (n, *spatial), classes


def axis_of(x: Any) -> int:
    """Where the classes are: before the places of an image, behind the steps of a sequence."""
    return 2 if x.ndim == 3 else 1


def softmax(draw: Draw) -> Case:
    x, _, _ = scores(draw)
    x = np.where(draw.rng.random(x.shape) < 0.1, np.float32(-np.inf), x)
    return Case({"x": x, "y": Shape(x.shape), "axis": axis_of(x)}, shared=draw.choice("", "x"))


def softmax_dx(draw: Draw) -> Case:
    x, _, _ = scores(draw)
    return Case({"y": np.abs(x) / 10, "dy": draw.array(*x.shape), "dx": Shape(x.shape), "axis": axis_of(x)})


def softmax_loss(draw: Draw) -> Case:
    x, places, classes = scores(draw)
    label, ignore = draw.labels(places, classes), draw.choice(None, 0, 255)
    label[draw.rng.random(places) < 0.2] = ignore or 0
    args = {
        "x": x,
        "label": label,
        "weight": None,
        "prob": Shape(x.shape),
        "loss": Shape(places),
        "axis": axis_of(x),
        "ignore": ignore,
    }
    return Case(args)


def softmax_loss_dx(draw: Draw) -> Case:
    case = softmax_loss(draw).args
    z = np.array([draw.choice(0, 1, 3.5)], np.float32)
    given = {"prob": np.abs(case["x"]) / 10, "label": case["label"], "weight": None, "z": z, "dy": draw.array(1)}
    return Case({**given, "dx": case["prob"], "axis": case["axis"], "ignore": case["ignore"]})


def hits(draw: Draw) -> Case:
    x, places, classes = scores(draw)
    label, ignore = draw.labels(places, classes), draw.choice(None, 0, 255)
    label[draw.rng.random(places) < 0.2] = ignore or 0
    k = draw.number(1, classes)
    return Case({"x": x, "label": label, "weight": None, "hit": Shape(places), "axis": axis_of(x), "top_k": k, "ignore": ignore})


# --- the update ---
def sum_of_squares(draw: Draw) -> Case:
    return Case({"g": draw.array(draw.choice(1, 15, 16, 4097, 20000), kinds=(whole, real)), "norm": Shape((1,), "double")})


def plain(w: float, g: float, lr: float) -> float:
    return w - lr * g


def heavy(w: float, g: float, v: float, lr: float, momentum: float) -> tuple[float, float]:
    v = momentum * v + lr * g
    return w - v, v


def adaptive(w: float, g: float, m: float, v: float, lr: float, momentum: float, delta: float) -> tuple[float, float, float]:
    m = momentum * m + (1 - momentum) * g
    v = max(momentum * v, abs(g))
    return w - lr * m / (v + delta), m, v


def changing(w: float, g: float, lr: float, delta: float) -> float:
    """Names that are given are moved, too: for this element only."""
    delta = delta * 0.5
    lr = lr * delta
    return w - lr * g


def busy(w: float, g: float, first: float, low: float, lr: float, scale: float, starts: float) -> tuple[float, float, float]:
    """Names that a kernel may have for its own things."""
    last = first + g
    stops = low * scale
    return w - lr * (last + stops + starts), last, stops


def pulled(w: float, g: float, lr: float, pull: float) -> float:
    return w - lr * (g + 0.5 * pull)


def decaying(w: float, g: float, v: float, lr: float, decay: float, decay_mult: float, momentum: float) -> tuple[float, float]:
    v = momentum * v + g
    return w - lr * v - (decay + 0.01 * decay_mult) * w, v


def trusting(w: float, g: float, lr: float, w_norm: float, g_norm: float) -> float:
    return w - lr * g * (w_norm / (g_norm + 0.1))


def direction(w: float, g: float, m: float, lr: float, momentum: float) -> tuple[float, float]:
    m = momentum * m + g
    return m + 0.1 * w, m


RULES: list[tuple[Any, int, tuple[float, ...], str]] = [
    (plain, 0, (), "whole"), (heavy, 1, (0.9,), "whole"), (adaptive, 2, (0.9, 0.1), "whole"), (changing, 0, (0.5,), "whole"),
    (busy, 2, (0.5, 0.25), "whole"), (pulled, 0, (), "whole"), (decaying, 1, (0.9,), "whole"), (trusting, 0, (), "whole"),
    (direction, 1, (0.9,), "first"), (trusting, 0, (), "second"), (plain, 0, (), "second"),
]  # fmt: skip


def update(draw: Draw) -> Case:
    """Parameters of all sizes, each from a cache line on, what lies between being 0."""
    segments, top = [], 0
    for _ in range(draw.number(1, 4)):
        size = draw.choice(1, 15, 16, 17, 40)
        segments.append((top, top + size, draw.choice(1.0, 2.0), draw.choice(1.0, 0.0, 0.5)))
        top += -(-size // 16) * 16
    rule, slots, hyper, stage = draw.choice(*RULES)
    used = np.zeros(top, bool)
    for start, stop, _, _ in segments:
        used[start:stop] = True
    w, g, *kept = [np.where(used, real(draw.rng, (top,)), np.float32(0)) for _ in range(2 + slots)]
    bad = draw.choice(*[""] * 6, "norm", "loss", "failed")
    norm = np.array([np.nan if bad == "norm" else np.square(g, dtype=np.float64).sum()])
    norms = np.array([[np.square(x[a:b], dtype=np.float64).sum() for a, b, _, _ in segments] for x in (w, g)])
    losses = tuple(np.array([np.inf if bad == "loss" else 0.5], np.float32) for _ in range(2))
    one = [np.array([number], np.float32) for number in (draw.choice(0.1, 0.0), draw.choice(0.0, 0.01), *hyper)]
    args = {
        "w": w,
        "g": g,
        "slots": tuple(kept),
        "rates": tuple(one[:2]),
        "hyper": tuple(one[2:]),
        "losses": losses,
        "norm": norm,
    }
    args |= {"failed": np.array([bad == "failed"], np.int32), "formula": formula(rule), "segments": np.array(segments)}
    args |= {"l1": draw.yes(), "clip": draw.choice(None, 0.1, 100.0), "iter_size": draw.number(1, 3)}
    return Case(args | {"norms": norms if rule is trusting else draw.choice(None, norms), "stage": stage})


ROWS: dict[tuple[str, str], Callable[[Draw], Case]] = {
    ("conv", "conv"): conv,
    ("conv_elementwise", "conv"): conv_elementwise,
    ("conv", "depthwise_conv"): depthwise_conv,
    ("conv_elementwise", "depthwise_conv"): depthwise_conv_elementwise,
    ("conv_dx", "depthwise_conv_dx"): depthwise_conv_dx,
    ("conv_grad", "depthwise_conv_grad"): depthwise_conv_grad,
    ("conv_grad", "conv_grad"): conv_grad,
    ("conv_dx", "conv_dx"): conv_dx,
    ("conv_max_pool", "conv_max_pool"): conv_max_pool,
    ("conv_max_pool_grad", "conv_grad"): conv_max_pool_grad,
    ("max_pool", "max_pool"): max_pool,
    ("max_pool_dx", "max_pool_dx"): max_pool_dx,
    ("mean_pool", "mean_pool"): mean_pool,
    ("mean_pool_dx", "mean_pool_dx"): mean_pool_dx,
    ("reshape", "reshape"): reshape,
    ("dropout", "dropout"): dropout,
    ("inner_product", "inner_product"): inner_product,
    ("inner_product", "inner_product_by_outputs"): inner_product,
    ("inner_product", "inner_product_turned"): product_of_few,
    ("inner_product_elementwise", "inner_product"): activated(inner_product),
    ("inner_product_elementwise", "inner_product_turned"): activated(product_of_few),
    ("inner_product_dx", "inner_product_dx"): inner_product_dx,
    ("inner_product_dx", "inner_product_dx_by_outputs"): inner_product_dx,
    ("inner_product_dw", "inner_product_dw"): inner_product_dw,
    ("embed", "embed"): looked_up,
    ("embed_dw", "embed_dw"): looked_up_dw,
    ("recurrent", "recurrent"): sequence,
    ("recurrent_grad", "recurrent_grad"): sequence_grad,
    ("elementwise", "elementwise"): elementwise,
    ("weighted_sum", "weighted_sum"): weighted_sum,
    ("channel_moments", "channel_moments"): channel_moments,
    ("lrn", "lrn"): lrn,
    ("lrn_dx", "lrn_dx"): lrn_dx,
    ("channel_norm", "channel_norm"): channel_norm,
    ("channel_norm_elementwise", "channel_norm_elementwise"): channel_norm_elementwise,
    ("channel_norm_dw", "channel_norm_dw"): channel_norm_dw,
    ("channel_norm_dx", "channel_norm_dx"): channel_norm_dx,
    ("softmax", "softmax"): softmax,
    ("softmax_dx", "softmax_dx"): softmax_dx,
    ("softmax_loss", "softmax_loss"): softmax_loss,
    ("softmax_loss_dx", "softmax_loss_dx"): softmax_loss_dx,
    ("hits", "hits"): hits,
    ("sum_of_squares", "sum_of_squares"): sum_of_squares,
    ("update", "update"): update,
}
KNOWN = [(name, found.bind.__name__) for name, recipes in RECIPES.items() for found in recipes]
cases = some.data()


@pytest.fixture(scope="module")
def cpus() -> Iterator[list[Cpu]]:
    made = [Cpu(workers) for workers in (1, 2, 3)]
    yield made
    for cpu in made:
        cpu.close()


CHOSEN: dict[str, dict[str, int]] = {
    "inner_product": {"MANY": 0}, "inner_product_by_outputs": {"MANY": 0, "LARGE": 0}, "inner_product_dx_by_outputs": {"LESS": 0}
}  # fmt: skip


def which(bind: str) -> AbstractContextManager[Any]:
    """Moves the bounds of products so that this recipe is the one that fits."""
    return patch.multiple(dense, **CHOSEN.get(bind, {"MANY": dense.MANY}))


# --- the exam ---
@pytest.mark.parametrize(("name", "bind"), KNOWN)
def test_each_recipe_has_a_row(name: str, bind: str) -> None:
    assert (name, bind) in ROWS, f"add a row for the recipe '{bind}' of '{name}' to ROWS"


def test_each_row_has_a_recipe() -> None:
    assert set(ROWS) == set(KNOWN)


@pytest.mark.parametrize(("name", "bind"), list(ROWS))
@settings(max_examples=60, deadline=None)
@given(data=cases)
def test_it_does_what_the_reference_does(cpus: list[Cpu], name: str, bind: str, data: Any) -> None:
    draw = Draw(data)
    case = ROWS[name, bind](draw)
    right = expected(name, case)
    with tuned(case), which(bind):
        found = recipe_of(call_of(name, case.args)[0])
        assert found is not None and found.bind.__name__ == bind
        for cpu in cpus:
            compare(compute(name, case, cpu, draw.number(0, 2)), right, case)


@pytest.mark.parametrize(("name", "bind"), list(ROWS))
@settings(max_examples=6, deadline=None)
@given(data=cases)
def test_it_does_so_in_a_plan_with_threads(cpus: list[Cpu], name: str, bind: str, data: Any) -> None:
    case = ROWS[name, bind](Draw(data))
    right = expected(name, case)
    with tuned(case), which(bind):
        for cpu in cpus[1:]:
            call, tensors = call_of(name, case.args)
            plan = make_plan([call], cpu, [tensor for _, tensor, value in tensors if value is None])
            assert hazards(plan) == []
            memory = Memory(Store(), cpu)
            memory.reserve(plan.arena)
            memory.bytes[:] = 255
            pool = Pool(cpu.workers)
            program = Program(plan, cpu, memory, pool)
            for _, tensor, value in tensors:
                if value is not None:
                    memory.logical(tensor, plan)[...] = value
            program.run()
            pool.close()
            compare(results(call, tensors, Bound(memory, plan).logical), right, case)


# --- what has no recipe, or a recipe does not fit ---
def nothing_fits() -> dict[str, tuple[str, Args]]:
    """Calls of ops with recipes that the recipes leave to the reference."""
    rng = np.random.default_rng(0)
    x, w3 = whole(rng, (2, 3, 4, 5, 3)), whole(rng, (2, 3, 2, 2, 2))
    three, gaps = Window((2, 2, 2), (1, 1, 1), (0, 0, 0)), Window((1, 1), (3, 2), (0, 0))
    image, row = whole(rng, (2, 3, 7, 5)), whole(rng, (2, 3, 35))
    apart = Shape((2, 3, *gaps.pooled((7, 5))))
    label = rng.integers(0, 3, (2, 7)).astype(np.int32)
    weight = np.array([0.5, 2], np.float32)
    line, rows = Window((2,), (1,), (0,)), {"label": label, "weight": weight, "axis": 1, "ignore": None}
    made: list[tuple[str, str, Args]] = [
        ("conv over three axes", "conv", {"x": x, "w": w3, "b": None, "y": Shape((2, 2, 3, 4, 2)), "window": three}),
        (
            "max_pool over one axis",
            "max_pool",
            {"x": row, "y": Shape((2, 3, 34)), "winner": Shape((2, 3, 34), "index"), "window": line},
        ),
        ("mean_pool with gaps", "mean_pool", {"x": image, "y": apart, "window": gaps}),
        ("mean_pool_dx with gaps", "mean_pool_dx", {"dy": whole(rng, apart), "dx": Shape(image.shape), "window": gaps}),
        ("softmax along another axis", "softmax", {"x": image, "y": Shape(image.shape), "axis": 2}),
        ("softmax of sequences", "softmax", {"x": image[..., 0], "y": Shape((2, 3, 7)), "axis": 1}),
        ("a weighted loss", "softmax_loss", {"x": image[..., 0], "prob": Shape((2, 3, 7)), "loss": Shape((2, 7)), **rows}),
        ("reshape across samples", "reshape", {"x": image, "y": Shape((6, 35))}),
    ]
    return {title: (name, args) for title, name, args in made}


@pytest.mark.parametrize("title", nothing_fits())
def test_what_no_recipe_fits_runs_the_reference(cpus: list[Cpu], title: str) -> None:
    name, args = nothing_fits()[title]
    assert recipe_of(call_of(name, args)[0]) is None
    for cpu in cpus:
        compare(compute(name, Case(args), cpu), expected(name, Case(args)), Case(args))


# --- maxima of what is no number ---
LOWEST = float(np.finfo(np.float32).min)
NAN, INF = np.nan, np.inf
STRANGE = [
    ([NAN, NAN, NAN, NAN], NAN, 0),
    ([NAN, NAN, 1, NAN], 1, 2),
    ([NAN, -INF, -INF, NAN], NAN, 0),
    ([-INF, NAN, NAN, NAN], -INF, 0),
    ([-INF, -INF, -INF, -INF], -INF, 0),
    ([NAN, -INF, LOWEST, -INF], LOWEST, 2),
    ([1, INF, NAN, INF], INF, 1),
    ([2, 2, 2, 2], 2, 0),
]  # fmt: skip


def max_of(backend: Reference, x: Any, window: Window) -> tuple[Any, Any]:
    sizes = Shape((*x.shape[:2], *window.pooled(x.shape[2:])))
    case = Case({"x": np.asarray(x, np.float32), "y": sizes, "winner": Shape(sizes, "index"), "window": window})
    made = compute("max_pool", case, backend)
    return made["y 0"], made["winner 1"]


@pytest.mark.parametrize(("values", "y", "winner"), STRANGE)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_where_nothing_exceeds_minus_infinity_the_first_element_stands(
    cpus: list[Cpu], backend: str, values: list[float], y: float, winner: int
) -> None:
    for channels in (1, 16, 19):  # beside full vectors, too
        x = np.tile(np.array(values, np.float32).reshape(2, 2), (1, channels, 1, 1))
        made = max_of(Reference() if backend == "reference" else cpus[0], x, Window((2, 2), (2, 2), (0, 0)))
        np.testing.assert_array_equal(made[0], np.full((1, channels, 1, 1), y, np.float32))
        np.testing.assert_array_equal(made[1], np.full((1, channels, 1, 1), winner))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_window_that_hangs_over_the_edge_has_its_own_first_element(cpus: list[Cpu], backend: str) -> None:
    x = np.array([[[[NAN, NAN, 5], [NAN, NAN, NAN], [NAN, NAN, NAN]]]])
    y, winner = max_of(Reference() if backend == "reference" else cpus[1], x, Window((2, 2), (2, 2), (1, 1)))
    np.testing.assert_array_equal(y, [[[[NAN, 5], [NAN, NAN]]]])
    assert winner.tolist() == [[[[0, 2], [3, 4]]]]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_window_with_no_element_gives_the_lowest_number_and_no_winner(cpus: list[Cpu], backend: str) -> None:
    y, winner = max_of(
        Reference() if backend == "reference" else cpus[1], np.array([[[[3.0, 4]]]]), Window((1, 1), (1, 4), (0, 0))
    )
    assert (y.tolist(), winner.tolist()) == ([[[[3, LOWEST]]]], [[[[0, -1]]]])


@pytest.mark.parametrize(("values", "y", "winner"), STRANGE[:2])
@pytest.mark.parametrize("suits", [always, never])
@pytest.mark.parametrize("pad", [0, 1])
def test_a_pooled_convolution_keeps_nan_as_pooling_does(
    cpus: list[Cpu], values: list[float], y: float, winner: int, suits: Any, pad: int
) -> None:
    """A convolution of one 1 changes nothing: what is pooled is the image."""
    x = np.array(values, np.float32).reshape(1, 1, 2, 2)
    pool = Window((2, 2), (1, 1), (pad, pad))
    shape = Shape((1, 1, *pool.pooled((2, 2))))
    args = {"x": x, "w": np.ones((1, 1, 1, 1), np.float32), "b": None, "y": shape, "winner": Shape(shape, "index"),
            "window": Window((1, 1), (1, 1), (0, 0)), "pool": pool}  # fmt: skip
    case = Case(args, {"suits": suits})
    with tuned(case):
        made = compute("conv_max_pool", case, cpus[0])
    compare(made, expected("conv_max_pool", case), case)
    assert made["y 0"][0, 0, pad, pad] == pytest.approx(y, nan_ok=True)
    assert made["winner 1"][0, 0, pad, pad] == winner


# --- labels that are no classes ---
@pytest.mark.parametrize("label", [-1, 3, 4, 1000, -(2**31)])
def test_a_label_that_is_no_class_is_nan_and_reaches_no_other_memory(cpus: list[Cpu], label: int) -> None:
    """The guards of `compute` see what is written elsewhere."""
    x, labels = np.ones((2, 3), np.float32), np.array([label, 1], np.int32)
    given = {"label": labels, "weight": None, "axis": 1, "ignore": None}
    loss = compute("softmax_loss", Case({"x": x, "prob": Shape((2, 3)), "loss": Shape((2,)), **given}), cpus[0])["loss 1"]
    np.testing.assert_allclose(loss, [NAN, np.log(3)], rtol=1e-6)
    one = np.ones(1, np.float32)
    dx = compute("softmax_loss_dx", Case({"prob": x / 3, "z": one, "dy": one, "dx": Shape((2, 3)), **given}), cpus[0])["dx 0"]
    assert np.isnan(dx[0]).all() and np.isfinite(dx[1]).all()
    hit = compute("hits", Case({"x": x, "hit": Shape((2,)), "top_k": 3, **given}), cpus[0])["hit 0"]
    np.testing.assert_array_equal(hit, [NAN, 1])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_score_that_is_nan_is_never_right(cpus: list[Cpu], backend: str) -> None:
    """Or a net that has failed would be the best so far."""
    x = np.array([[NAN, NAN, NAN], [NAN, 1, 2], [3, NAN, 2], [1, 2, 3]], np.float32)
    label = np.array([0, 0, 0, 2], np.int32)
    case = Case({"x": x, "label": label, "weight": None, "hit": Shape((4,)), "axis": 1, "top_k": 1, "ignore": None})
    assert compute("hits", case, Reference() if backend == "reference" else cpus[0])["hit 0"].tolist() == [0, 0, 0, 1]


# --- who divides what ---
@settings(max_examples=100, deadline=None)
@given(size=some.integers(0, 300), step=some.integers(1, 40))
def test_the_parts_of_the_workers_are_all_of_it_and_nothing_twice(cpus: list[Cpu], size: int, step: int) -> None:
    for cpu in cpus:
        spans = [(low, high) for _, low, high in cpu.spans(size, step)]
        assert [spot for low, high in spans for spot in range(low, high)] == list(range(size))
        assert all(low % step == 0 for low, high in spans if low < high)


def test_what_workers_make_apart_stays_until_the_segment_ends(cpus: list[Cpu]) -> None:
    cpu = cpus[1]
    cpu.begin_segment()
    rows = [cpu.apart(size) for size in (5, 40, 1000, 3, 70000)]
    for number, row in enumerate(rows):
        row[:] = number
    assert [set(row.reshape(-1).tolist()) for row in rows] == [{0.0}, {1.0}, {2.0}, {3.0}, {4.0}]
    held = sum(len(part) for part in cpu.parts)
    cpu.begin_segment()
    again = [cpu.apart(size) for size in (70000, 3, 1000)]
    assert sum(len(part) for part in cpu.parts) == held, "the next segment has the same memory"
    assert not any(np.shares_memory(one, other) for one in again for other in again if one is not other)


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (2, 3, 4, 5), (3, 8, 2, 2), (2, 9, 3, 3), (4, 7), (5,), (0, 3, 2, 2)])
def test_a_batch_is_put_in_its_place(cpus: list[Cpu], shape: tuple[int, ...]) -> None:
    values = np.arange(prod(shape)).reshape(shape).astype(np.uint8)
    memory = np.full([shape[axis] for axis in cpus[0].order(Shape(shape))], np.nan, np.float32)
    logical = memory.transpose(0, 3, 1, 2) if len(shape) == 4 else memory
    cpus[0].stage(logical, values)
    np.testing.assert_array_equal(logical, values)


@pytest.mark.parametrize("fresh", [frozenset(), frozenset({"dw"}), frozenset({"dw", "db"})])
def test_what_workers_made_apart_is_added_or_written(cpus: list[Cpu], fresh: frozenset[str]) -> None:
    for cpu in cpus:
        call = Call(OPS["conv_grad"], {}, tags={"fresh": fresh} if fresh else {})
        dws, dbs = (np.arange(cpu.workers * size, dtype=np.float32).reshape(cpu.workers, size) for size in (70, 5))
        dw, db = np.ones((7, 10), np.float32), np.ones(5, np.float32)
        for kernel in cpu.join(call, dw=(dws, dw), db=(dbs, db), other=(None, None)):
            kernel()
        np.testing.assert_array_equal(dw.reshape(-1), ("dw" not in fresh) + dws.sum(axis=0))
        np.testing.assert_array_equal(db, ("db" not in fresh) + dbs.sum(axis=0))
        assert cpu.join(call, dw=(None, None)) == []


def test_what_was_bound_before_the_scratch_grew_sees_the_larger_one() -> None:
    scratch, seen = Scratch(lambda size, dtype: np.zeros(size, dtype)), []
    kernels = [scratch.bound(floats, lambda *words: seen.append((words[0], len(words[1]))), floats) for floats in (10, 30, 20)]
    for kernel in kernels:
        kernel()
    assert seen == [(10, 30), (30, 30), (20, 30)]
    with pytest.raises(AssertionError, match="the scratch is too small"):
        carve(scratch.array, [20, 20])


# --- from any shape to any other ---
@pytest.mark.parametrize(("x", "y"), [
    ((2, 3, 4, 5), (2, 60)), ((2, 60), (2, 3, 4, 5)), ((2, 12, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (2, 12, 5)),
    ((2, 3, 4, 5), (2, 5, 3, 4)), ((2, 3, 4, 5), (2, 60, 1, 1)), ((2, 3, 1, 1), (2, 3)), ((2, 3, 2, 2, 5), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (2, 3, 2, 2, 5)), ((2, 4, 3, 5), (2, 2, 6, 5, 1)),
    ((2, 6, 4, 5), (2, 3, 2, 4, 5)), ((2, 4, 3, 5), (2, 2, 2, 3, 1, 5)), ((3,), (3, 1, 1, 1)),
])  # fmt: skip
def test_reshaping_keeps_the_logical_order(cpus: list[Cpu], x: tuple[int, ...], y: tuple[int, ...]) -> None:
    case = Case({"x": np.arange(prod(x), dtype=np.float32).reshape(x), "y": Shape(y)})
    for cpu in cpus:
        compare(compute("reshape", case, cpu), expected("reshape", case), case)
