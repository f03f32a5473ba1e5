"""Softmax and losses on the GPU's kernels, run on the CPU, over odd shapes: any axis, weights, labels that are missing or wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.formula import formula
from dltrain.tensor import Shape
from tests.ops.emulated import compare, emulate
from tests.ops.test_cpu_ops import NAN, Case, Draw, holed, real, whole

Args = dict[str, Any]
cases = some.data()


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


def scores(draw: Draw, kinds: Any = (whole, real), least: int = 2, most: int = 5) -> tuple[Any, int, tuple[int, ...]]:
    """x of any rank, the axis of its classes, and the places without it."""
    sizes = [draw.number(1, 4) for _ in range(draw.number(least, most))]
    axis = draw.number(1, len(sizes) - 1)
    sizes[axis] = draw.choice(1, 2, 3, 10, 33, 130)
    return draw.array(*sizes, kinds=kinds), axis, (*sizes[:axis], *sizes[axis + 1 :])


def weights(draw: Draw, places: tuple[int, ...]) -> Any:
    """None, one a sample, or one a place; some are 0."""
    shape = draw.choice(None, places[:1], places)
    return None if shape is None else np.maximum(draw.array(*shape, kinds=(whole,)), 0) / np.float32(2)


def labelled(draw: Draw, places: tuple[int, ...], classes: int) -> Args:
    ignore = draw.choice(None, 0, 255)
    label = draw.labels(places, classes)
    label[draw.rng.random(places) < 0.2] = ignore or 0
    return {"label": label, "weight": weights(draw, places), "ignore": ignore}


def slopes(draw: Draw) -> Args:
    return {"z": np.array([draw.choice(0, 1, 3.5)], np.float32), "dy": draw.array(1)}


def probabilities(x: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return (e / e.sum(axis=axis, keepdims=True)).astype(np.float32)


# --- softmax ---
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_softmax(cuda: Cuda, name: str, data: Any) -> None:
    draw = Draw(data)
    x, axis, _ = scores(draw, (whole, real, holed), 1 + 1)
    x = np.where(draw.rng.random(x.shape) < 0.1, np.float32(-np.inf), x) if name == "softmax" else x
    compare(cuda, name, Case({"x": x, "y": Shape(x.shape), "axis": axis}, shared=draw.choice("", "x")))
    y, dy = x / 10, draw.array(*x.shape)
    y = np.where(np.isfinite(y), y, np.float32(0))
    compare(cuda, f"{name}_dx", Case({"y": y, "dy": dy, "dx": Shape(x.shape), "axis": axis}, shared=draw.choice("", "dy")))


# --- losses over classes ---
def own(name: str, draw: Draw, x: Any, axis: int) -> Args:
    """What a loss over classes asks for besides labels."""
    match name:
        case "smooth_softmax_loss":
            return {"smoothing": draw.choice(0.1, 0.5)}
        case "soft_label_loss":
            return {"target": np.abs(draw.array(*x.shape)), "smoothing": draw.choice(0.0, 0.1)}
        case "focal_loss":
            return {"gamma": draw.choice(0.0, 0.5, 2.0)}
        case "hinge_loss":
            return {"margin": draw.choice(0.5, 1.0), "squared": draw.yes()}
        case "label_loss":
            return {"logarithms": draw.yes()}
        case "infogain_loss":
            c = x.shape[axis]
            matrix = draw.choice(None, draw.array(*draw.choice((c, c), (1, 1, c, c), (1, c, c, 1))))
            return {"matrix": matrix, "table": draw.array(c, c).astype(np.float64) if matrix is None else None}
    return {}


@pytest.mark.parametrize("name", ["softmax_loss", "smooth_softmax_loss", "soft_label_loss", "focal_loss", "infogain_loss"])
@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_losses_after_a_softmax(cuda: Cuda, name: str, data: Any) -> None:
    draw = Draw(data)
    x, axis, places = scores(draw)
    args = {**labelled(draw, places, x.shape[axis]), **own(name, draw, x, axis), "axis": axis}
    if name == "soft_label_loss":
        del args["label"], args["ignore"]
    compare(cuda, name, Case({**args, "x": x, "prob": Shape(x.shape), "loss": Shape(places)}))
    compare(cuda, f"{name}_dx", Case({**args, "prob": probabilities(x, axis), "dx": Shape(x.shape), **slopes(draw)}))


@pytest.mark.parametrize("name", ["hinge_loss", "label_loss"])
@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_losses_of_scores_as_they_are(cuda: Cuda, name: str, data: Any) -> None:
    draw = Draw(data)
    x, axis, places = scores(draw)
    x = x if name == "hinge_loss" else np.abs(x) + np.float32(0.1)
    args = {**labelled(draw, places, x.shape[axis]), **own(name, draw, x, axis), "axis": axis, "x": x}
    compare(cuda, name, Case({**args, "loss": Shape(places)}))
    compare(cuda, f"{name}_dx", Case({**args, "dx": Shape(x.shape), **slopes(draw)}))


@pytest.mark.parametrize("name", ["softmax_loss", "focal_loss", "infogain_loss", "hinge_loss", "label_loss"])
@pytest.mark.parametrize("label", [-1, 3, 1000, -(2**31)])
def test_a_label_that_is_no_class_is_nan_and_reaches_no_other_memory(cuda: Cuda, name: str, label: int) -> None:
    """The guards of `emulate` see what is written elsewhere."""
    x, one = np.ones((2, 3), np.float32), np.ones(1, np.float32)
    args: Args = {"label": np.array([label, 1], np.int32), "weight": None, "axis": 1, "ignore": None}
    args |= {"focal_loss": {"gamma": 2.0}, "hinge_loss": {"margin": 1.0, "squared": False}, "label_loss": {"logarithms": False},
             "infogain_loss": {"matrix": None, "table": np.eye(3)}}.get(name, {})  # fmt: skip
    made = {"loss": Shape((2,)), **({} if name in ("hinge_loss", "label_loss") else {"prob": Shape((2, 3))})}
    loss = next(value for key, value in emulate(cuda, name, Case({"x": x, **args, **made})).items() if key.startswith("loss"))
    assert np.isnan(loss[0]) and np.isfinite(loss[1])
    given = {"prob" if "prob" in made else "x": x / 3, "z": one, "dy": one, "dx": Shape((2, 3))}
    dx = emulate(cuda, f"{name}_dx", Case({**args, **given}))["dx 0"]
    assert np.isnan(dx[0]).all() and np.isfinite(dx[1]).all()


# --- sums ---
@pytest.mark.parametrize("large", [False, True])
@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_what_a_loss_is_divided_by(cuda: Cuda, large: bool, data: Any) -> None:
    draw = Draw(data)
    places = (3, 9000) if large else tuple(draw.number(1, 4) for _ in range(draw.number(1, 5)))
    args = labelled(draw, places, 4)
    args["label"] = args["label"].astype(np.float32) if draw.yes() else args["label"]
    how = draw.choice("valid", "valid", "full", "batch_size", "none")
    compare(cuda, "weigh", Case({**args, "z": Shape((1,)), "normalization": how}))


@pytest.mark.parametrize("size", [1, 5, 300, 40000])
def test_sums_are_exact_whatever_their_size(cuda: Cuda, size: int) -> None:
    values = np.full(size, 0.1, np.float32)
    sums, y = Shape((2,), "double"), Shape((1,))
    for z in (2.0, 0.0):
        compare(cuda, "weighted_mean", Case({"values": values, "z": np.array([z], np.float32), "sums": sums, "y": y}))
    compare(cuda, "weighted_mean", Case({"values": values, "z": np.array([3], np.float32), "sums": sums, "y": None}))
    made = emulate(cuda, "total", Case({"x": values, "sums": sums, "y": y}))
    assert made["sums 0"].tolist() == pytest.approx([values.sum(dtype=np.float64), 1], rel=1e-12)
    np.testing.assert_allclose(made["y 1"], [values.sum(dtype=np.float64)], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_the_weight_of_each_place(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    places = tuple(draw.number(1, 4) for _ in range(draw.number(1, 5)))
    table = draw.choice((), (0.5, 1.0, 2.0))
    compare(cuda, "place_weights", Case({**labelled(draw, places, 3), "y": Shape(places), "table": table}))


# --- formulas ---
def huber(x: float, t: float, width: float) -> float:
    return 0.5 * (x - t) ** 2 if abs(x - t) < width else width * (abs(x - t) - 0.5 * width)


def huber_slopes(x: float, t: float, width: float) -> tuple[float, float]:
    d = max(-width, min(x - t, width))
    return d, -d


@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_a_formula_over_elements_of_any_layout(cuda: Cuda, data: Any) -> None:
    """The target may be an integer, lie in memory in another order, or be one number for all."""
    draw = Draw(data)
    n, c, h, w = (draw.number(1, 4) for _ in range(4))
    shapes = [(n, c, h, w), (n, c * h * w), (n, c, h * w), (n, c * h, w, 1)]
    x = draw.array(*draw.choice(*shapes))
    t = draw.array(*draw.choice(*shapes, (1,)), kinds=(whole,))
    t = t.astype(np.int32) if draw.yes() else t
    own = draw.choice(None, (n,), t.shape if t.size == x.size else (n,))
    weight = None if own is None else np.abs(draw.array(*own, kinds=(whole,)))
    args = {"xs": (x, t), "weight": weight, "constants": (0.75,), "ignore": draw.choice(None, 1)}
    compare(cuda, "pointwise_loss", Case({**args, "loss": Shape(x.shape), "formula": formula(huber)}))
    wanted = {"da": draw.maybe(Shape(x.shape)), "db": draw.maybe(Shape(t.shape)) if t.size == x.size else None, "dc": None}
    if wanted["da"] is not None or wanted["db"] is not None:
        compare(cuda, "pointwise_loss_dx", Case({**args, **slopes(draw), **wanted, "formula": formula(huber_slopes)}))


# --- distances and regions ---
@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_distances(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    n, c, h, w = (draw.number(1, 4) for _ in range(4))
    a, b = (draw.array(*draw.choice((n, c, h, w), (n, c * h * w), (n, c, h * w))) for _ in range(2))
    similar = draw.labels((n,), 2)
    args: Args = {"a": a, "b": b, "similar": similar if draw.yes() else similar.astype(np.float32)}
    args |= {"weight": draw.maybe(np.abs(draw.array(n))), "margin": 0.8, "legacy": draw.yes()}
    compare(cuda, "contrastive_loss", Case({**args, "distance": Shape((n,)), "loss": Shape((n,))}))
    args |= {"distance": np.abs(draw.array(n)), **slopes(draw), "d_distance": draw.maybe(draw.array(n))}
    wanted = draw.choice(("da", "db"), ("da",), ("db",))
    made = {name: Shape(x.shape) if name in wanted else None for name, x in (("da", a), ("db", b))}
    compare(cuda, "contrastive_loss_dx", Case({**args, **made}))


@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_triplets(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    n, c, h, w = (draw.number(1, 4) for _ in range(4))
    shape = draw.choice((n, c, h, w), (n, c * h * w), (n, c, h * w))
    args: Args = {name: draw.array(*shape) for name in "apn"}
    args |= {"weight": draw.maybe(np.abs(draw.array(n))), "margin": 0.8, "squared": draw.yes()}
    compare(cuda, "triplet_loss", Case({**args, **{name: Shape((n,)) for name in ("near", "far", "loss")}}))
    args |= {"near": np.abs(draw.array(n)), "far": np.abs(draw.array(n)), **slopes(draw)}
    wanted = draw.choice(("da", "dp", "dn"), ("da",), ("dp", "dn"))
    compare(
        cuda, "triplet_loss_dx", Case({**args, **{name: Shape(shape) if name in wanted else None for name in ("da", "dp", "dn")}})
    )


@settings(max_examples=20, deadline=None)
@given(data=cases)
def test_regions(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    x, axis, places = scores(draw, (real,), 3)
    p = probabilities(x, axis)
    n, c, rest = x.shape[0], x.shape[axis], x.size // x.shape[0] // x.shape[axis]
    label = draw.labels(draw.choice(places, x.shape, (n, c * rest)), c if draw.yes() else 2)
    label = label.astype(np.float32) if label.size == x.size and draw.yes() else label
    args: Args = {"p": p, "label": label, "weight": draw.maybe(np.abs(draw.array(n))), "axis": axis}
    args |= {"ignore": draw.choice(None, 1), "smooth": draw.choice(0.0, 1.0)}
    compare(cuda, "dice_loss", Case({**args, "loss": Shape((n, c))}))
    compare(cuda, "dice_loss_dx", Case({**args, **slopes(draw), "dx": Shape(x.shape)}))


def test_nothing_predicted_and_nothing_there_costs_nothing(cuda: Cuda) -> None:
    zero = np.zeros((1, 2, 3), np.float32)
    args = {"p": zero, "label": zero, "weight": None, "axis": 1, "ignore": None, "smooth": 0.0, "loss": Shape((1, 2))}
    assert emulate(cuda, "dice_loss", Case(args))["loss 0"].tolist() == [[0, 0]]


def test_a_probability_that_is_nan_costs_nan(cuda: Cuda) -> None:
    x = np.array([[1, NAN, 2], [1, 2, 3]], np.float32)
    args: Args = {"label": np.array([0, 0], np.int32), "weight": None, "axis": 1, "ignore": None}
    made = emulate(cuda, "softmax_loss", Case({"x": x, **args, "prob": Shape((2, 3)), "loss": Shape((2,))}))
    assert np.isnan(made["loss 1"]).tolist() == [True, False]
