"""Short numbers, bf16 and fp16: how they round on the host and in kernels, what is written and read, and who takes them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.array import BF16, FP16, DeviceArray, narrowed, widened
from dltrain.ops.cuda.elementwise import cast, of_type, over
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.formulas import prelude

compiles = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler to emulate with")

FLOAT = np.dtype(np.float32)
SHAPES = {BF16: (8, -133, 2.0**128), FP16: (11, -24, 2.0**16)}  # bits, exponent of the least number, what is too large
KINDS = {"float": FLOAT, "bf16": BF16, "fp16": FP16}
FOURS = """KERNEL fours(const real *x, real *y, int count) {
    EACH(i, count) {
        float four[4];
        take4(four, x + 4 * i);
        give4(y + 4 * i, four);
    }
}
"""


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


def exact(value: float, dtype: np.dtype[Any]) -> float:
    """The nearest short number, ties to even, found with fractions."""
    bits, least, most = SHAPES[dtype]
    if not math.isfinite(value):
        return value
    step = Fraction(2) ** max(math.frexp(value)[1] - bits, least)
    near = float(round(Fraction(value) / step) * step)
    return math.copysign(math.inf if abs(near) >= most else near, value)


def raw(cuda: Cuda, bits: Any, dtype: np.dtype[Any]) -> DeviceArray:
    """A short array of these patterns."""
    made = cuda.alloc(bits.size, np.uint16)
    made[...] = bits
    return made.view(dtype)


def edges(dtype: np.dtype[Any]) -> Any:
    """Floats about every short number and about every middle between two."""
    upper = np.arange(1 << 16, dtype=np.uint16)
    words = (widened(upper.view(BF16)) if dtype == BF16 else upper.view(FP16).astype(np.float32)).view(np.uint32)
    half = 0x8000 if dtype == BF16 else 0x1000
    return np.concatenate([words + np.uint32(more) for more in (0, 1, half - 1, half, half + 1)]).view(np.float32)


def rounded(values: Any, dtype: np.dtype[Any]) -> Any:
    """The patterns that NumPy gives floats."""
    with np.errstate(over="ignore", invalid="ignore"):
        return narrowed(values).view(np.uint16) if dtype == BF16 else values.astype(np.float16).view(np.uint16)


def floats(bits: Any, dtype: np.dtype[Any]) -> Any:
    return widened(bits.view(BF16)) if dtype == BF16 else bits.view(FP16).astype(np.float32)


# --- on the host ---
@given(some.lists(some.floats(width=32), min_size=1, max_size=20))
@example([math.inf, -math.inf, math.nan, 0.0, -0.0])
@example([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-8 + 2.0**-23, -1 - 2.0**-8])  # ties, and just beyond one
@example([2.0**-149, 2.0**-134, 3 * 2.0**-134, 2.0**-126 - 2.0**-149])  # subnormals
@example([3.3895313892515355e38, 3.3961775292304601e38, 3.3961773292304601e38])  # the largest, and about what is too large
def test_floats_are_rounded_to_the_nearest_ties_to_even(values: list[float]) -> None:
    found = widened(narrowed(np.array(values, np.float32)))
    for value, got in zip(values, found.tolist(), strict=True):
        want = exact(value, BF16)
        assert (got != got and want != want) or (got == want and math.copysign(1, got) == math.copysign(1, want)), value


def test_what_is_short_already_stays_as_it_is() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    values = widened(bits.view(BF16))
    again = narrowed(values).view(np.uint16)
    assert np.array_equal(again[~np.isnan(values)], bits[~np.isnan(values)])
    assert (again[np.isnan(values)] == 0x7FFF).all() and np.isnan(values).sum() == 2 * 127


@pytest.mark.parametrize("dtype", [BF16, FP16])
def test_what_is_written_is_read_rounded(cuda: Cuda, dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 4, 5)).astype(np.float32)
    want = floats(rounded(values, dtype), dtype)
    whole = cuda.alloc(60, dtype)
    assert whole.nbytes == 120 and not whole.copy().any()
    turned = whole.reshape(5, 3, 4).transpose((1, 2, 0))
    turned[...] = values
    assert np.array_equal(turned.copy(), want)
    assert np.array_equal(whole.copy().reshape(5, 3, 4), want.transpose(2, 0, 1))
    other = cuda.alloc(60, dtype)
    other[...] = whole
    other[10:13] = [1.0, 1.00390625, -3e-5]
    other[13:14] = np.float32(7)
    assert other.copy()[10:14].tolist() == [1.0, exact(1.00390625, dtype), exact(float(np.float32(-3e-5)), dtype), 7.0]
    assert np.array_equal(other.copy()[14:], whole.copy()[14:])
    assert whole[2] == want.transpose(2, 0, 1).reshape(-1)[2]
    floating = cuda.alloc(60, np.float32)
    floating[...] = whole  # other types meet on the host
    assert np.array_equal(floating.copy(), whole.copy())


# --- in kernels ---
@compiles
@pytest.mark.parametrize("dtype", [BF16, FP16])
def test_kernels_read_each_pattern_as_numpy_does(cuda: Cuda, dtype: np.dtype[Any]) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    y = cuda.alloc(bits.size, np.float32)
    cast(cuda, raw(cuda, bits, dtype), y)()
    want = floats(bits, dtype)
    assert np.array_equal(y.copy(), want, equal_nan=True)
    assert np.array_equal(np.signbit(y.copy()), np.signbit(want))


@compiles
@pytest.mark.parametrize("dtype", [BF16, FP16])
def test_kernels_round_as_numpy_does(cuda: Cuda, dtype: np.dtype[Any]) -> None:
    values = np.concatenate([edges(dtype), np.random.default_rng(0).integers(0, 1 << 32, 100_000, np.uint32).view(np.float32)])
    x, y = cuda.alloc(values.size, np.float32), cuda.alloc(values.size, dtype)
    x[...] = values
    cast(cuda, x, y)()
    found, number = y.view(np.uint16).copy(), ~np.isnan(values)
    assert np.array_equal(found[number], rounded(values, dtype)[number])
    assert np.isnan(floats(found[~number], dtype)).all() and (~number).any()


@compiles
@given(some.lists(some.floats(width=32, allow_nan=False), min_size=1, max_size=40))
@example([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-11 + 2.0**-23])  # ties of either type
@example([65504.0, 65519.0, 65520.0, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 2.0**-134, -math.inf])
def test_kernels_round_to_the_nearest(cuda: Cuda, values: list[float]) -> None:
    x = cuda.alloc(len(values), np.float32)
    x[...] = np.array(values, np.float32)
    for dtype in (BF16, FP16):
        y = cuda.alloc(len(values), dtype)
        cast(cuda, x, y)()
        assert y.copy().astype(float).tolist() == [exact(value, dtype) for value in values]


@compiles
@pytest.mark.parametrize("kinds", ["bf16 float", "float fp16", "fp16 bf16", "bf16 bf16", "float float"])
def test_arrays_of_several_types_go_into_one_launch(cuda: Cuda, kinds: str) -> None:
    """What is computed is float; only what is written is rounded."""
    first, last = (KINDS[kind] for kind in kinds.split())
    rng = np.random.default_rng(1)
    x, other, y = cuda.alloc(100, first), cuda.alloc(100, np.float32), cuda.alloc(100, last)
    x[...], other[...] = (rng.standard_normal(100).astype(np.float32) for _ in range(2))
    body = "y[i] = 0.5f * x0[i] + x1[i]; y[i] += 1.0f;"
    cuda.each("", "map", 100, x, other, y, text=over(2, body))()
    assert np.array_equal(y.copy(), twice(np.float32(0.5) * x.copy() + other.copy(), last))


def twice(values: Any, dtype: np.dtype[Any]) -> Any:
    """Rounded, and again with 1 added."""
    for more in (np.float32(0), np.float32(1)):
        values = values + more
        values = values if dtype == FLOAT else floats(rounded(values, dtype), dtype)
    return values


@compiles
@pytest.mark.parametrize("kinds", ["bf16 bf16", "fp16 fp16", "float bf16", "fp16 float"])
def test_four_neighbours_go_at_once(cuda: Cuda, kinds: str) -> None:
    """They begin on a border of four elements, not of sixteen bytes; those beside them stay."""
    first, last = (KINDS[kind] for kind in kinds.split())
    x, y = cuda.alloc(64, first), cuda.alloc(64, last)
    x[...] = np.arange(64) + 1
    y[...] = np.full(64, -5.0)
    cuda.each("", "fours", 3, x[4:], y[12:], text=f"{prelude()}{FOURS}")()
    assert y.copy().tolist() == [-5.0] * 12 + list(range(5, 17)) + [-5.0] * 40


@compiles
def test_a_short_array_goes_nowhere_but_where_the_kernel_says_so(cuda: Cuda) -> None:
    for dtype in (BF16, FP16):
        with pytest.raises(TypeError, match=r"poke, argument 0: float \* is given DeviceArray\(\(4,\), "):
            cuda.each("staging", "poke", 4, cuda.alloc(4, dtype), 0)
    with pytest.raises(TypeError, match=r"map, argument 0: real \* is given DeviceArray\(\(4,\), uint16\)"):
        cast(cuda, cuda.alloc(4, np.uint16), cuda.alloc(4, np.float32))


@compiles
def test_a_copy_of_another_type_lies_as_the_array_does(cuda: Cuda) -> None:
    sizes: Sequence[int] = (2, 3, 4)
    x = cuda.alloc(24, np.float32).reshape(sizes).transpose((2, 0, 1))
    values = np.arange(24, dtype=np.float32).reshape(x.shape)
    x[...] = values
    assert of_type(cuda, x, np.float32) == ([], x)
    for dtype in (BF16, FP16):
        launches, made = of_type(cuda, x, dtype)
        for launch in launches:
            launch()
        assert (made.dtype, made.sizes, made.axes) == (dtype, x.sizes, x.axes) and made.address != x.address
        assert np.array_equal(made.copy(), values)
