"""Convolutions and products on the GPU's kernels, run on the CPU, over odd shapes: every tile, every width of reading, parts joined."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from dltrain.ops.cuda import Cuda, direct
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.fusion import fuse
from dltrain.ops.cuda.tiles import DEPTH, TILES, Tile, cut_of, cuts, named
from dltrain.ops.cuda.tuning import Given
from dltrain.ops.formula import formula
from dltrain.ops.signature import OPS, Call
from dltrain.ops.window import Window
from dltrain.tensor import Shape, Tensor
from tests.ops import test_cpu_ops as cpu
from tests.ops.emulated import compare, emulate
from tests.ops.test_cpu_ops import Case, Draw, real, solid

FEW = settings(max_examples=15, deadline=None)
draws = some.data()


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


def half(x: float, slope: float) -> float:
    return x if x > 0 else slope * x


# --- convolutions ---
@pytest.mark.parametrize(("name", "case"), [
    ("conv", cpu.conv), ("conv_elementwise", cpu.conv_elementwise), ("conv_dx", cpu.conv_dx),
])  # fmt: skip
@FEW
@given(data=draws)
def test_a_convolution(cuda: Cuda, name: str, case: Any, data: Any) -> None:
    compare(cuda, name, case(Draw(data)))


@FEW
@given(data=draws)
def test_the_gradient_of_its_weights(cuda: Cuda, data: Any) -> None:
    args = cpu.conv_grad(Draw(data)).args
    assume(args["dw"] is not None or args["db"] is not None)
    compare(cuda, "conv_dw", Case({name: args[name] for name in ("x", "dy", "dw", "db", "window")}))


def test_an_activation_is_done_behind_the_sum_of_all_parts(cuda: Cuda) -> None:
    rng = np.random.default_rng(0)
    window, act = Window((3, 3), (1, 1), (1, 1)), {"formula": formula(half), "constants": (0.25,)}
    x, w, b = real(rng, (1, 60, 4, 4)), real(rng, (3, 60, 3, 3)), real(rng, (3,))
    for tile in TILES[3:]:
        with forced(tile, 4):
            compare(cuda, "conv_elementwise", Case({"x": x, "w": w, "b": b, "y": Shape((1, 3, 4, 4)), "window": window, **act}))


def directly(number: int) -> Any:
    """Every convolution that can be done so is done by the direct kernel, in the variant of this number."""

    def first(cuda: Cuda, what: str, given: Given, outs: Any, ways: dict[str, Any], versions: str) -> Any:
        way = ways["direct"]
        variants = [f"{band}x{outs}" for band in (1, 3, 4) for outs in (8, 16)]
        return way.bind(variants[number], given)

    return patch("dltrain.ops.cuda.convolution.chosen", first)


@pytest.mark.parametrize(("channels", "outs", "window"), [
    (1, 20, Window((5, 5), (1, 1), (0, 0))), (3, 9, Window((3, 2), (2, 1), (1, 2), (1, 2))), (20, 12, Window((2, 2), (1, 1), (1, 1))),
])  # fmt: skip
def test_small_images_directly(cuda: Cuda, channels: int, outs: int, window: Window) -> None:
    """Bands that do and do not divide the image, strips that hang over its channels."""
    rng = np.random.default_rng(0)
    x, w, b = real(rng, (3, channels, 8, 7)), real(rng, (outs, channels, *window.kernel)), real(rng, (outs,))
    dy = real(rng, (3, outs, *window.convolved((8, 7))))
    act = {"formula": formula(half), "constants": (0.25,)}
    for number in (0, 3, 5):
        with directly(number):
            compare(cuda, "conv", Case({"x": x, "w": w, "b": None, "y": Shape(dy.shape), "window": window}))
            compare(cuda, "conv_elementwise", Case({"x": x, "w": w, "b": b, "y": Shape(dy.shape), "window": window, **act}))
            if window.stride == (1, 1):
                compare(cuda, "conv_dx", Case({"w": w, "dy": dy, "dx": Shape(x.shape), "window": window}))


def test_what_a_block_can_keep(cuda: Cuda) -> None:
    def way(size: int, channels: int, outs: int, window: Window, turned: bool = False) -> Any:
        x, y = (cuda.alloc(0, np.float32) for _ in range(2))
        x.sizes, y.sizes = (64, size, size, channels), (64, *window.convolved((size, size)), outs)
        return direct.ways(cuda, window, {"x": x, "y": y}, turned, None).get("direct")

    lenet = way(12, 20, 50, Window((5, 5), (1, 1), (0, 0)))
    assert lenet.keeps(8, 16) == 4 * 20 * (25 * 16 + 144)
    assert 1 <= len(lenet.offers()) <= direct.MOST_OFFERS
    with pytest.raises(RuntimeError, match="8x64 is too much for a block"):
        lenet.bind("8x64", {})
    assert way(56, 256, 256, Window((3, 3), (1, 1), (1, 1))) is None
    assert way(12, 20, 50, Window((5, 5), (1, 1), (0, 0), (), 2)) is None
    assert way(12, 20, 50, Window((5, 5), (2, 2), (0, 0)), turned=True) is None


@FEW
@given(data=draws)
def test_each_channel_by_itself(cuda: Cuda, data: Any) -> None:
    """Seen by one output or by two."""
    draw = Draw(data)
    c = draw.choice(2, 17, 40)
    window = Window(draw.choice((3, 3), (2, 1)), draw.pair(1, 3), draw.pair(0, 2), draw.pair(1, 2), c)
    sizes = tuple(max(1, extent - 2 * p) + draw.number(0, 5) for extent, p in zip(window.extent, window.pad))
    x, outs = draw.array(draw.number(1, 3), c, *sizes), c * draw.choice(1, 2)
    dy = draw.array(len(x), outs, *window.convolved(sizes))
    given = {"x": x, "w": solid(draw.array(outs, 1, *window.kernel)), "b": draw.array(outs), "dy": dy, "window": window}
    check_all(cuda, given)
    y = Shape(dy.shape)
    act = {**given, "y": y, "formula": formula(half), "constants": (0.25,)}
    compare(cuda, "conv_elementwise", Case({name: value for name, value in act.items() if name != "dy"}))


def many_axes(draw: Draw, axes: int) -> dict[str, Any]:
    """x, w, b, dy and the window of a convolution over one axis or three, in groups, with holes between its taps."""
    group = draw.choice(1, 2)
    channels, outs = group * draw.number(1, 3), group * draw.number(1, 3)
    numbers = [(draw.number(1, 3), draw.number(1, 2), draw.number(0, 2), draw.number(1, 2)) for _ in range(axes)]
    kernel, stride, pad, dilation = (tuple(column) for column in zip(*numbers))
    window = Window(kernel, stride, pad, dilation, group)
    sizes = tuple(max(1, extent - 2 * p) + draw.number(0, 2) for extent, p in zip(window.extent, pad))
    n = draw.number(1, 3)
    x, dy = draw.array(n, channels, *sizes), draw.array(n, outs, *window.convolved(sizes))
    return {"x": x, "w": solid(draw.array(outs, channels // group, *kernel)), "b": draw.array(outs), "dy": dy, "window": window}


def check_all(cuda: Cuda, given: dict[str, Any], prefix: str = "") -> None:
    """Forward and all gradients, with and without a bias."""
    x, w, b, dy, window = given.values()
    for bias in (b, None):
        compare(cuda, f"{prefix}conv", Case({"x": x, "w": w, "b": bias, "y": Shape(dy.shape), "window": window}))
        compare(cuda, f"{prefix}conv_dw", Case({"x": x, "dy": dy, "dw": w, "db": bias, "window": window}))
    compare(cuda, f"{prefix}conv_dw", Case({"x": x, "dy": dy, "dw": None, "db": b, "window": window}))
    compare(cuda, f"{prefix}conv_dx", Case({"w": w, "dy": dy, "dx": Shape(x.shape), "window": window}))


@pytest.mark.parametrize("axes", [1, 3])
@FEW
@given(data=draws)
def test_over_one_axis_or_three(cuda: Cuda, axes: int, data: Any) -> None:
    check_all(cuda, many_axes(Draw(data), axes))


@pytest.mark.parametrize("axes", [1, 2, 3])
@FEW
@given(data=draws)
def test_filters_that_are_another_at_each_place(cuda: Cuda, axes: int, data: Any) -> None:
    draw = Draw(data)
    args = many_axes(draw, axes)
    outs, places = args["dy"].shape[1], args["dy"].shape[2:]
    args["window"] = Window(*(getattr(args["window"], name) for name in ("kernel", "stride", "pad", "dilation")))
    args["w"] = solid(draw.array(outs * int(np.prod(places)), args["x"].shape[1], *args["window"].kernel))
    args["b"] = draw.array(outs, *places)
    check_all(cuda, args, "local_")


@pytest.mark.parametrize("axes", [1, 2, 3])
@FEW
@given(data=draws)
def test_patches(cuda: Cuda, axes: int, data: Any) -> None:
    args = many_axes(Draw(data), axes)
    x, window = args["x"], args["window"]
    y = Shape((len(x), x.shape[1] * window.area, *args["dy"].shape[2:]))
    compare(cuda, "im2col", Case({"x": x, "y": y, "window": window}))
    compare(cuda, "im2col_dx", Case({"dy": Draw(data).array(*y), "dx": Shape(x.shape), "window": window}))


def forced(tile: Tile, parts: int) -> Any:
    """Every product in this tile, its depth in so many parts where it may be split."""

    def made(processors: int, rows: int, columns: int, depth: int, count: int = 1, split: bool = True) -> Any:
        return (cut_of(tile, parts if split else 1, depth),)

    return patch("dltrain.ops.cuda.tiles.cuts", made)


@pytest.mark.parametrize(("tile", "channels"), [*((tile, 8) for tile in TILES), (TILES[0], 3), (TILES[-1], 3)])
def test_every_tile(cuda: Cuda, tile: Tile, channels: int) -> None:
    """Read in fours, and, of three channels, one by one."""
    rng = np.random.default_rng(0)
    window = Window((3, 2), (2, 1), (1, 1), (1, 2), 1)
    x = real(rng, (5, channels, 9, 8))
    outs = 132 if channels == 8 else 37
    dy = real(rng, (5, outs, *window.convolved((9, 8))))
    given = {"x": x, "w": real(rng, (outs, channels, 3, 2)), "b": real(rng, (outs,)), "dy": dy, "window": window}
    with forced(tile, 2):
        check_all(cuda, given)
        a, w = real(rng, (70, 4 * channels)), real(rng, (outs, 4 * channels))
        compare(cuda, "inner_product", Case({"x": a, "w": w, "b": real(rng, (outs,)), "y": Shape((70, outs))}))
        y = real(rng, (70, outs))
        compare(cuda, "inner_product_dw", Case({"x": a, "dy": y, "dw": w, "db": real(rng, (outs,))}))
        compare(cuda, "inner_product_dx", Case({"w": w, "dy": y, "dx": Shape(a.shape)}))


def test_the_largest_product_gets_the_largest_tile_and_a_small_one_is_split() -> None:
    assert str(cuts(132, 1 << 17, 512, 4608)[0]) == "128x128/1"
    small = cuts(132, 64, 500, 800)[0]
    assert small.parts > 1 and small.tile.rows < 128
    assert {each.parts for each in cuts(132, 64, 500, 800, split=False)} == {1}


@given(rows=some.integers(1, 5000), columns=some.integers(1, 5000), depth=some.integers(0, 100000))
def test_the_parts_are_all_of_the_depth(rows: int, columns: int, depth: int) -> None:
    for made in cuts(132, rows, columns, depth):
        assert (made.parts - 1) * made.span <= max(depth - 1, 0) and made.parts * made.span >= depth
        assert made.span % DEPTH == 0
        assert named(str(made), depth) == made


def test_a_cut_that_is_none() -> None:
    with pytest.raises(RuntimeError, match="no product is cut as 7x7/1"):
        named("7x7/1", 100)


# --- products ---
@FEW
@given(data=draws)
def test_products_of_many_matrices(cuda: Cuda, data: Any) -> None:
    """Up to three axes in front; where one side has two axes, it serves all, and its gradient is the sum."""
    draw = Draw(data)
    batch, i, j, k = tuple(draw.number(1, 3) for _ in range(draw.number(0, 3))), *(draw.choice(1, 3, 8, 35) for _ in range(3))
    front = draw.choice((batch, batch), (batch, ()), ((), batch))
    ways = draw.yes(), draw.yes()
    a = draw.array(*front[0], *((k, i) if ways[0] else (i, k)))
    b = draw.array(*front[1], *((j, k) if ways[1] else (k, j)))
    given = {"a": a, "b": solid(b), "transpose_a": ways[0], "transpose_b": ways[1]}
    compare(cuda, "matmul", Case({**given, "y": Shape((*batch, i, j))}))
    if batch and front == (batch, batch):
        compare(cuda, "matmul", Case({**given, "y": Shape((i, j))}))


@FEW
@given(data=draws)
def test_inner_products(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    compare(cuda, "inner_product", cpu.inner_product(draw))
    compare(cuda, "inner_product_dx", cpu.inner_product_dx(draw))
    compare(cuda, "inner_product_dw", cpu.inner_product_dw(draw))


# --- tables ---
@FEW
@given(data=draws)
def test_a_table(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    compare(cuda, "embed", cpu.looked_up(draw))
    compare(cuda, "embed_dw", cpu.looked_up_dw(draw))


def test_a_long_text_with_few_words(cuda: Cuda) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (600,)).astype(np.int32)
    compare(cuda, "embed_dw", Case({"x": x, "dy": real(rng, (600, 33)), "dw": real(rng, (4, 33)), "db": real(rng, (33,))}))


@pytest.mark.parametrize("index", [-1, 4, 2**31 - 1])
def test_an_index_outside_the_table_is_no_number_and_changes_no_row(cuda: Cuda, index: int) -> None:
    x, w = np.array([2, index], np.int32), np.arange(8, dtype=np.float32).reshape(4, 2)
    found = emulate(cuda, "embed", Case({"x": x, "w": w, "b": None, "y": Shape((2, 2)), "name": "it"}))["y 0"]
    np.testing.assert_array_equal(found, [[4, 5], [np.nan, np.nan]])
    dw = emulate(cuda, "embed_dw", Case({"x": x, "dy": np.ones((2, 2), np.float32), "dw": w, "db": None}))["dw 0"]
    np.testing.assert_array_equal(dw, w + np.array([[0], [0], [1], [0]]))


# --- what is joined ---
def test_a_convolution_takes_the_activation_along_that_alone_reads_it() -> None:
    x, y, z = (Tensor(name, Shape((2, 3, 4, 4))) for name in "xyz")
    w, window = Tensor("w", Shape((3, 3, 1, 1)), "param"), Window((1, 1), (1, 1), (0, 0))
    conv = Call(OPS["conv"], {"x": x, "w": w, "b": None, "y": y, "window": window}, "conv")
    act = Call(OPS["elementwise"], {"xs": (y,), "y": z, "formula": formula(half), "constants": (0.5,), "monotone": True}, "act")
    (joint,) = fuse([conv, act], {z})
    assert joint.op.name == "conv_elementwise" and joint.args["y"] is z and joint.args["constants"] == (0.5,)
    assert [call.op.name for call in fuse([conv, act], {y, z})] == ["conv", "elementwise"]


def test_the_two_gradients_of_a_convolution_stay_apart() -> None:
    x, dx, dy = (Tensor(name, Shape((2, 3, 4, 4))) for name in ("x", "dx", "dy"))
    w, dw = (Tensor(name, Shape((3, 3, 1, 1)), "param") for name in ("w", "dw"))
    window = Window((1, 1), (1, 1), (0, 0))
    calls = [
        Call(OPS["conv_dw"], {"x": x, "dy": dy, "dw": dw, "db": None, "window": window}, "conv", "backward"),
        Call(OPS["conv_dx"], {"w": w, "dy": dy, "dx": dx, "window": window}, "conv", "backward"),
    ]
    assert fuse(calls, {dx}) == calls
