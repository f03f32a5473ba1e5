"""Pooling on the GPU's kernels, run on the CPU, over odd windows: one axis to three, hanging over the edge, with gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.fusion import fuse
from dltrain.ops.signature import OPS, Call
from dltrain.ops.window import Window
from dltrain.tensor import Shape, Tensor
from tests.ops.emulated import compare, emulate
from tests.ops.test_cpu_ops import INF, LOWEST, NAN, STRANGE, Case, Draw, holed, pooled, real, whole, wild

WAYS = ("max_pool", "mean_pool", "sum_pool", "lp_pool", "lse_pool", "expected_pool", "stochastic_pool")


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


def image(draw: Draw, axes: int, gaps: bool, kinds: Any = (whole, real, holed)) -> tuple[Any, Window, Shape]:
    """x, a window, and the shape of y."""
    sizes = tuple(draw.number(1, 9 if axes < 3 else 4) for _ in range(axes))
    window, made = pooled(draw, sizes, gaps)
    if any((m - 1) * s - p >= n for m, n, s, p in zip(made, sizes, window.stride, window.pad, strict=True)):
        window, made = pooled(draw, sizes)  # a window with no element is the lowest number of the type: not alike in float64
    x = draw.array(draw.number(1, 3), draw.choice(1, 2, 3, 17), *sizes, kinds=kinds)
    return x, window, Shape((*x.shape[:2], *made))


def numbers(way: str, draw: Draw) -> dict[str, Any]:
    match way:
        case "lp_pool":
            return {"p": draw.choice(1.0, 2.0, 3.5)}
        case "lse_pool":
            return {"beta": draw.choice(1.0, 0.3)}
        case "stochastic_pool":
            return {"count": np.array([draw.choice(0.0, 7.0, 2.0**40)]), "key": (draw.number(0, 2**32 - 1), 5)}
    return {}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(data=some.data())
def test_pooling(cuda: Cuda, way: str, axes: int, data: Any) -> None:
    draw = Draw(data)
    kinds = (whole, real, holed, wild) if way == "max_pool" else (whole, real, holed)
    x, window, y = image(draw, axes, way == "max_pool", kinds)
    args = {"x": x, "y": y, "window": window, **numbers(way, draw)}
    if way in ("max_pool", "stochastic_pool"):
        args["winner"] = Shape(y, "index")
    compare(cuda, way, Case(args))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("way", ["mean_pool", "sum_pool", "lp_pool", "lse_pool"])
@settings(max_examples=12, deadline=None)
@given(data=some.data())
def test_its_gradient(cuda: Cuda, way: str, axes: int, data: Any) -> None:
    draw = Draw(data)
    x, window, shape = image(draw, axes, way == "mean_pool", (whole, real))
    args = {"dy": draw.array(*shape), "dx": Shape(x.shape), "window": window, **numbers(way, draw)}
    if way in ("lp_pool", "lse_pool"):
        y = np.zeros(shape)
        OPS[way].function(x.astype(float), y, window, *numbers(way, draw).values())
        args |= {"x": x, "y": y.astype(np.float32)}
    compare(cuda, f"{way}_dx", Case(args))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("axes", [1, 2, 3])
@settings(max_examples=12, deadline=None)
@given(data=some.data())
def test_the_gradient_of_a_maximum(cuda: Cuda, axes: int, known: bool, data: Any) -> None:
    """Whether or not the window is known that chose the winners; a window in a gap has none."""
    draw = Draw(data)
    x, window, shape = image(draw, axes, True, (whole, real))
    y, winner = np.zeros(shape), np.zeros(shape, np.int32)
    OPS["max_pool"].function(x, y, winner, window)
    winner[draw.rng.random(shape) < 0.1] = -1
    case = Case({"dy": draw.array(*shape, kinds=(whole, real, holed)), "winner": winner, "dx": Shape(x.shape)})
    compare(cuda, "max_pool_dx", case, **({"window": window} if known else {}))


def test_a_gradient_remembers_the_window_of_its_maximum() -> None:
    x, y = Shape((2, 3, 4, 4)), Shape((2, 3, 2, 2))
    winner, window = Tensor("winner", Shape(y, "index")), Window((2, 2), (2, 2), (0, 0))
    pool = Call(OPS["max_pool"], {"x": Tensor("x", x), "y": Tensor("y", y), "winner": winner, "window": window}, "pool")
    back = Call(OPS["max_pool_dx"], {"dy": Tensor("dy", y), "winner": winner, "dx": Tensor("dx", x)}, "pool", "backward")
    fuse([pool, back], set())
    assert back.tags["window"] is window


# --- what is no number ---
def most(cuda: Cuda, x: Any, window: Window) -> tuple[Any, Any]:
    sizes = Shape((*x.shape[:2], *window.pooled(x.shape[2:])))
    made = emulate(cuda, "max_pool", Case({"x": x, "y": sizes, "winner": Shape(sizes, "index"), "window": window}))
    return made["y 0"], made["winner 1"]


@pytest.mark.parametrize(("values", "y", "winner"), STRANGE)
def test_where_nothing_exceeds_minus_infinity_the_first_element_stands(cuda: Cuda, values: Any, y: float, winner: int) -> None:
    x = np.array(values, np.float32).reshape(1, 1, 2, 2)
    for deep in (False, True):  # by the kernel of images, and by that of any axes
        window = Window((2,) * (2 + deep), (2,) * (2 + deep), (0,) * (2 + deep))
        made = most(cuda, np.stack([x, x], axis=2) if deep else x, window)
        np.testing.assert_array_equal(made[0].reshape(-1), [np.float32(y)])
        np.testing.assert_array_equal(made[1].reshape(-1), [winner])


def test_a_three_by_three_window_is_read_row_by_row(cuda: Cuda) -> None:
    x = np.array([[[[1, 2, 9, 0], [3, 9, 1, 7], [9, 0, 2, 7]]]], np.float32)
    y, winner = most(cuda, x, Window((3, 3), (1, 1), (0, 0)))
    assert (y.tolist(), winner.tolist()) == ([[[[9, 9]]]], [[[[2, 2]]]])


def test_a_window_with_no_element_gives_the_lowest_number_and_no_winner(cuda: Cuda) -> None:
    for x, window in (
        (np.array([[[[3.0, 4]]]], np.float32), Window((1, 1), (1, 4), (0, 0))),
        (np.array([[[3.0, 4]]], np.float32), Window((1,), (4,), (0,))),
    ):
        y, winner = most(cuda, x, window)
        assert (y.reshape(-1).tolist(), winner.reshape(-1).tolist()) == ([3, LOWEST], [0, -1])


def test_an_infinite_share_is_drawn_as_the_reference_draws_it(cuda: Cuda) -> None:
    x = np.array([[[[INF, 1, NAN, 2], [1, 1, 1, 1]]]], np.float32)
    shape = Shape((1, 1, 1, 2))
    args = {"x": x, "y": shape, "winner": Shape(shape, "index"), "window": Window((2, 2), (2, 2), (0, 0))}
    compare(cuda, "stochastic_pool", Case({**args, "count": np.array([3.0]), "key": (1, 2)}))
