"""Norms on the GPU's kernels, run on the CPU, over odd shapes: channels innermost or not, rows of any axes, neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.array import BF16, FP16, narrowed, widened
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.norms import layout
from dltrain.ops.formula import formula
from dltrain.tensor import Shape, Tensor
from tests.ops.emulated import compare
from tests.ops.test_cpu_ops import Case, Draw, call_of, expected, leaky, results, squash

Args = dict[str, Any]
cases = some.data()


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


# --- channels ---
def normed(draw: Draw) -> Args:
    """x of any rank, far from 0 or not, with statistics that need not be its own."""
    sizes = draw.choice((), draw.pair(1, 7), (20, 17), (draw.number(1, 40),), (2, 3, 2), (61, 53))
    c = draw.choice(1, 2, 3, 16, 37) if len(sizes) != 2 or sizes[0] < 50 else draw.choice(1, 3)
    x = draw.array(draw.number(1, 5), c, *sizes) + draw.choice(0, 0, np.float32(10))
    statistics = {"mean": draw.array(c), "variance": np.abs(draw.array(c)) + np.float32(0.1)}
    return {"x": x, **statistics, "eps": draw.choice(1e-5, 0.1)}


@settings(max_examples=30, deadline=None)
@given(data=cases)
def test_moments_of_channels(cuda: Cuda, data: Any) -> None:
    x = normed(Draw(data))["x"]
    compare(cuda, "channel_moments", Case({"x": x, "mean": Shape(x.shape[1:2]), "variance": Shape(x.shape[1:2])}))


def test_a_first_number_far_from_the_others_costs_no_digits(cuda: Cuda) -> None:
    x = np.random.default_rng(0).standard_normal((4, 2, 16, 16)).astype(np.float32) + np.float32(3)
    x[0, :, 0, 0] = 1000
    compare(cuda, "channel_moments", Case({"x": x, "mean": Shape((2,)), "variance": Shape((2,))}))


@settings(max_examples=30, deadline=None)
@given(data=cases)
def test_normalised_channels(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    args = normed(draw)
    affine, x = draw.yes(), args["x"]
    args |= {name: draw.array(x.shape[1]) if affine else None for name in ("scale", "bias")}
    compare(cuda, "channel_norm", Case({**args, "y": Shape(x.shape)}, shared=draw.choice("", "x")))
    act = {"formula": formula(leaky), "constants": (0.25,)} if draw.yes() else {"formula": formula(squash), "constants": ()}
    compare(
        cuda, "channel_norm_elementwise", Case({**args, "y": Shape(x.shape), "other": draw.maybe(draw.array(*x.shape)), **act})
    )


@settings(max_examples=30, deadline=None)
@given(data=cases)
def test_gradients_of_normalised_channels(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    args = normed(draw)
    x, c, own = args["x"], args["x"].shape[1], draw.yes()
    dy = draw.array(*x.shape)
    grads = {name: draw.maybe(draw.array(c)) for name in ("dscale", "dbias")}
    sums = Shape((c,)) if own else None
    if own or any(grad is not None for grad in grads.values()):
        compare(cuda, "channel_norm_dw", Case({**args, "dy": dy, **grads, "total": sums, "along": sums}))
    made = {name: draw.array(c) if own else None for name in ("total", "along")}
    dx = {"scale": draw.maybe(draw.array(c)), "dy": dy, **made, "dx": Shape(x.shape)}
    compare(cuda, "channel_norm_dx", Case({**args, **dx}, shared=draw.choice("", "dy")))


@pytest.mark.parametrize("count", [1, 6])
def test_what_is_kept_of_batches(cuda: Cuda, count: int) -> None:
    rng = np.random.default_rng(0)
    names = ("mean", "variance", "kept_mean", "kept_variance")
    args: Args = {name: rng.random(5).astype(np.float32) for name in names}
    for factor in (0.0, 2.5):
        kept = {**args, "factor": np.array([factor], np.float32)}
        compare(cuda, "keep_moments", Case({**kept, "fraction": 0.9, "count": count}))
        compare(cuda, "kept_moments", Case({**kept, "mean": Shape((5,)), "variance": Shape((5,))}))


# --- four channels a thread ---
class Somewhere:
    """Each tensor of a call `off` numbers behind a border, in the type that is asked for, between numbers that stay."""

    def __init__(self, cuda: Cuda, types: Args, off: Args) -> None:
        self.cuda, self.types, self.off, self.found = cuda, types, off, dict[Tensor, Any]()

    def hold(self, name: str, tensor: Tensor, value: Any) -> None:
        off, count = self.off.get(name, 0), tensor.shape.count
        raw = self.cuda.alloc(count + off + 8, self.types.get(name, np.float32))
        raw[...] = np.full(raw.size, 77, np.float32)
        self.found[tensor] = (raw, raw[off : off + count].reshape(tensor.shape))
        if value is not None:
            self.found[tensor][1][...] = value

    def memory(self, tensor: Tensor) -> Any:
        return self.found[tensor][1]

    def values(self, tensor: Tensor) -> Any:
        raw, array = self.found[tensor]
        everything, start = plain(raw), (array.address - raw.address) // raw.dtype.itemsize
        assert (everything[:start] == 77).all() and (everything[start + array.size :] == 77).all(), "guards were overrun"
        return everything[start : start + array.size].reshape(array.sizes)


def plain(array: Any) -> Any:
    values = array.copy()
    return np.asarray(values if values.dtype.kind == "f" else widened(values), np.float32)


def rounded(x: Any, dtype: Any) -> Any:
    return widened(narrowed(x)) if dtype == BF16 else x.astype(dtype).astype(np.float32)


def made(cuda: Cuda, name: str, args: Args, types: Args, off: Args) -> dict[str, Any]:
    """What a call writes."""
    call, tensors = call_of(name, args)
    arrays = Somewhere(cuda, types, off)
    for argument, tensor, value in tensors:
        arrays.hold(argument, tensor, value)
    cuda.begin_segment()
    for kernel in cuda.bind(call, arrays).kernels:  # type: ignore[arg-type]
        kernel()
    return results(call, tensors, arrays.values)


def calls(rows: int, channels: int, types: Args) -> dict[str, Args]:
    rng = np.random.default_rng(rows + channels)
    x, dy, other = (
        rounded(rng.standard_normal((rows, channels)).astype(np.float32) + 1, types.get(name, np.float32))
        for name in ("x", "dy", "other")
    )
    mean, bias, scale, variance = rng.random((4, channels)).astype(np.float32) + np.float32(0.5)
    of, own = Shape((channels,)), {"x": x, "mean": mean, "variance": variance, "eps": 1e-5}
    y, act = Shape(x.shape), {"formula": formula(leaky), "constants": (0.25,)}
    return {
        "channel_moments": {"x": x, "mean": of, "variance": of},
        "channel_norm_dw": {**own, "dy": dy, "dscale": scale, "dbias": bias, "total": of, "along": of},
        "channel_norm_dx": {**own, "dy": dy, "scale": scale, "total": bias, "along": mean, "dx": y},
        "channel_norm": {**own, "scale": scale, "bias": bias, "y": y},
        "channel_norm_elementwise": {**own, "scale": scale, "bias": bias, "y": y, "other": other, **act},
    }


MIXTURES: dict[str, Args] = {
    "float": {},
    "bf16": dict.fromkeys(("x", "dy", "other", "y", "dx"), BF16),
    "bf16 in": {"x": BF16, "other": BF16},
    "bf16 out": {"y": BF16, "dx": BF16, "dy": BF16},
    "fp16 and bf16": {"x": FP16, "dy": BF16, "y": BF16, "dx": FP16},
}


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize(("rows", "channels"), [(1, 4), (3, 20), (900, 8), (70, 132), (5, 7)])
def test_neighbouring_channels_of_any_types_anywhere(cuda: Cuda, rows: int, channels: int, mixture: str) -> None:
    """Arrays on borders of four, or one of them off: near the reference; where no sums are made, the same bits."""
    types = MIXTURES[mixture]
    for name, args in calls(rows, channels, types).items():
        right, first = expected(name, Case(args)), dict[str, Any]()
        for off in ({}, {"x": 1}, {"dy": 2, "y": 2}, {"dx": 3, "other": 3}, {"x": 4, "dy": 8, "y": 4}):
            found = made(cuda, name, args, types, off)
            first = first or found
            for what, want in right.items():
                largest = max(1.0, np.abs(want).max())
                short = types.get(what.split()[0])
                near = 2.0**-8 if short == BF16 else 2.0**-11 if short == FP16 else 2e-5
                assert np.abs(found[what] - want).max() <= near * largest, f"{what} of {name}, {off}"
                if what.split()[0] in ("y", "dx"):
                    np.testing.assert_array_equal(found[what], first[what], err_msg=f"{name}, {off}")


@pytest.mark.parametrize("mixture", ["float", "bf16"])
def test_no_order_of_threads_changes_sums_of_four_channels(cuda: Cuda, mixture: str) -> None:
    types, backwards = MIXTURES[mixture], Cuda(Emulator(backwards=True))
    for name, args in calls(900, 24, types).items():
        once, again, other = (made(which, name, args, types, {}) for which in (cuda, cuda, backwards))
        for what, values in once.items():
            np.testing.assert_array_equal(values, again[what], err_msg=what)
            np.testing.assert_array_equal(values, other[what], err_msg=what)


def test_where_a_thread_has_four_channels(cuda: Cuda) -> None:
    x = {dtype: cuda.alloc(200, dtype) for dtype in (np.float32, BF16)}
    for dtype, array in x.items():
        assert layout(Shape((5, 8)), array, None).beside == layout(Shape((5, 8, 1)), array).beside == 4
        assert layout(Shape((1, 8, 2, 2)), array, x[np.float32][4:], x[BF16][4:]).beside == 4
        assert layout(Shape((5, 6)), array).beside == layout(Shape((2, 8, 3)), array).beside == 1
        assert {layout(Shape((5, 8)), x[BF16], array[off:]).beside for off in (1, 2, 3)} == {1}, dtype
    whole = layout(Shape((100_000, 24)), x[BF16])
    assert whole.block == (8, 32) and whole.columns == 1 and whole.chunk(132)[0] % (8 * 32) == 0


# --- rows ---
def in_rows(draw: Draw) -> tuple[Any, int, tuple[int, ...]]:
    """x of any rank, the axis from which on its scale stands, and the shape of that: as each kind of layer has it."""
    sizes = tuple(draw.choice(1, 2, 3, 4) for _ in range(draw.number(2, 5)))
    x = draw.array(*sizes) + draw.choice(0, np.float32(5))
    if draw.yes():  # LayerNorm
        axis = draw.number(1, len(sizes) - 1)
        return x, axis, sizes[:axis]
    groups = draw.choice(*(g for g in range(1, sizes[1] + 1) if sizes[1] % g == 0))
    return x, -1, (sizes[0], groups)


@settings(max_examples=40, deadline=None)
@given(data=cases)
def test_rows(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    x, axis, rows = in_rows(draw)
    scaled = x.shape[axis:] if axis > 0 else x.shape[1:2]
    axis = max(axis, 1)
    if x.size < 20 and draw.yes():
        x = np.tile(x, (1,) * (x.ndim - 1) + (60,))
        scaled = (*scaled[:-1], scaled[-1] * 60) if axis + len(scaled) == x.ndim else scaled
        rows = (*rows[:-1], rows[-1] * 60) if len(rows) == x.ndim else rows
    compare(cuda, "row_moments", Case({"x": x, "mean": Shape(rows), "variance": draw.maybe(Shape(rows))}))
    mean, variance = draw.array(*rows), np.abs(draw.array(*rows)) + np.float32(0.1)
    plain = {"x": x, "mean": mean, "variance": draw.maybe(variance), "eps": 0.1, "axis": axis}
    plain |= {"eps_on": draw.choice("variance", "deviation")}
    affine = draw.yes()
    both = {name: draw.array(*scaled) if affine else None for name in ("scale", "bias")}
    compare(cuda, "row_norm", Case({**plain, **both, "y": Shape(x.shape)}, shared=draw.choice("", "x")))
    dy = draw.array(*x.shape)
    compare(
        cuda, "row_norm_dx", Case({**plain, "scale": both["scale"], "dy": dy, "dx": Shape(x.shape)}, shared=draw.choice("", "dy"))
    )
    grads = {f"d{name}": draw.array(*scaled) if draw.yes() else None for name in ("scale", "bias")}
    if any(grad is not None for grad in grads.values()):
        args = {"x": x, "mean": mean, "variance": variance, "eps": 0.1, "axis": axis}
        compare(cuda, "row_norm_dw", Case({**args, "dy": dy, **grads}))


def test_a_row_without_variance_has_no_pull(cuda: Cuda) -> None:
    x, zero = np.full((2, 3), 4, np.float32), np.zeros(2, np.float32)
    args = {"x": x, "mean": zero + 4, "variance": zero, "scale": None, "dy": np.arange(6, dtype=np.float32).reshape(2, 3)}
    compare(cuda, "row_norm_dx", Case({**args, "dx": Shape((2, 3)), "eps": 0.5, "axis": 1, "eps_on": "deviation"}))


# --- neighbours ---
@settings(max_examples=40, deadline=None)
@given(data=cases)
def test_neighbours(cuda: Cuda, data: Any) -> None:
    """Across channels that are innermost in memory or not, and over places of one axis to three."""
    draw = Draw(data)
    sizes = tuple(draw.number(1, 5) for _ in range(draw.number(0, 3)))
    x = draw.array(draw.number(1, 3), draw.choice(1, 2, 3, 16, 37, 300), *sizes)
    axes = (1,) if not sizes or draw.yes() else tuple(range(2, x.ndim))
    args = {"x": x, "local": Shape(x.shape), "axes": axes, "size": draw.choice(1, 3, 5, 9), "rate": draw.choice(0.2, 1e-4)}
    args |= {"beta": draw.choice(0.75, 0.5, 1.3)}
    compare(cuda, "lrn", Case({**args, "y": Shape(x.shape), "offset": draw.choice(1.0, 2.0)}))
    local, dy = np.abs(draw.array(*x.shape)) + np.float32(0.5), draw.array(*x.shape)
    compare(cuda, "lrn_dx", Case({**args, "local": local, "dy": dy, "dx": Shape(x.shape)}, shared=draw.choice("", "dy")))


def test_rows_of_channels_too_long_for_a_block(cuda: Cuda) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4100)).astype(np.float32)
    args = {"x": x, "axes": (1,), "size": 5, "rate": 0.2, "beta": 0.75}
    compare(cuda, "lrn", Case({**args, "local": Shape(x.shape), "y": Shape(x.shape), "offset": 1.0}))


@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_surroundings(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    sizes = tuple(draw.number(1, 7) for _ in range(draw.number(1, 3)))
    x, size = draw.array(draw.number(1, 3), draw.number(1, 4), *sizes), draw.choice(1, 3, 5)
    compare(cuda, "subtract_around", Case({"x": x, "y": Shape(x.shape), "size": size}))
    compare(cuda, "subtract_around_dx", Case({"dy": x, "dx": Shape(x.shape), "size": size}))
    plane = (x.shape[0], 1, *sizes)
    compare(cuda, "divide_around", Case({"x": x, "deviation": Shape(plane), "y": Shape(x.shape), "size": size}))
    deviation, dy = np.abs(draw.array(*plane)), draw.array(*x.shape)
    compare(cuda, "divide_around_dx", Case({"x": x, "deviation": deviation, "dy": dy, "dx": Shape(x.shape), "size": size}))
