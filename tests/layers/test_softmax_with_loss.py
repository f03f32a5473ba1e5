"""SoftmaxWithLoss: ln C for a net that knows nothing, 87.3365 for one that is sure and wrong, and what each Z divides by."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.softmax_with_loss import SoftmaxWithLoss
from dltrain.tensor import Shape
from dltrain.testing import check_gradient, check_layer

RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((3, 5, 4, 2))
LABELS = RNG.integers(0, 5, (3, 4, 2))
LOGS = SCORES - np.log(np.exp(SCORES).sum(axis=1, keepdims=True))
COSTS = -np.take_along_axis(LOGS, LABELS[:, None], 1)[:, 0]  # of each place, on its own


@pytest.fixture
def run(run: Any) -> Any:
    """One pass with a gradient of the loss alone, as where nobody reads the probabilities."""

    def once(layer: SoftmaxWithLoss, *xs: Any, dy: Any = 1.0, **options: Any) -> Any:
        made = run(layer, *xs, **options)
        dys = [np.full(1, dy, float), np.zeros(made.trial.promised[1])]
        made.tops, made.dxs, _ = made.trial.run([np.asarray(x) for x in xs], dys, {})
        return made

    return once


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_equal_scores_cost_the_logarithm_of_the_number_of_classes(classes: int, run: Any) -> None:
    made = run(SoftmaxWithLoss(), np.full((4, classes), 3.0), np.arange(4) % 2)
    assert made.y[0] == pytest.approx(log(classes), rel=1e-12)
    np.testing.assert_allclose(made.dx, (1 / classes - np.eye(classes)[np.arange(4) % 2]) / 4, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_place_costs_at_most_87(dtype: Any, run: Any) -> None:
    made = run(SoftmaxWithLoss(), np.array([[0.0, 1e4]]), np.array([0]), dtype=dtype)
    assert made.y[0] == pytest.approx(87.3365, abs=1e-4)
    np.testing.assert_array_equal(made.dx, [[-1, 1]])


def test_by_hand(run: Any) -> None:
    made = run(SoftmaxWithLoss(), np.log([[1.0, 2, 7], [3, 3, 4]]), np.array([2, 0]), dy=10)
    assert made.y[0] == pytest.approx(-(log(0.7) + log(0.3)) / 2)
    np.testing.assert_allclose(made.dx, [[0.5, 1, -1.5], [-3.5, 1.5, 2]], atol=1e-14)
    assert made.sums == pytest.approx([-(log(0.7) + log(0.3)), 2])


@pytest.mark.parametrize(("normalization", "ignored", "z"), [
    ("valid", None, 24), ("full", None, 24), ("batch_size", None, 3), ("none", None, 1),
    ("valid", 1, 24 - (LABELS == 1).sum()), ("full", 1, 24), ("batch_size", 1, 3), ("none", 1, 1),
])  # fmt: skip
def test_what_the_sum_is_divided_by(normalization: Any, ignored: int | None, z: int, run: Any) -> None:
    made = run(SoftmaxWithLoss(normalization=normalization, ignore_label=ignored), SCORES, LABELS)
    counted = ignored != LABELS
    assert made.y[0] == pytest.approx(COSTS[counted].sum() / z)
    assert made.sums == pytest.approx([COSTS[counted].sum(), z])
    hits = np.eye(5)[LABELS].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(made.dx, (np.exp(LOGS) - hits) * counted[:, None] / z, atol=1e-15)


def test_ignoring_each_of_five_labels_in_turn_makes_four_times_the_whole(run: Any) -> None:
    layers = [SoftmaxWithLoss(normalization="batch_size", ignore_label=label) for label in range(5)]
    whole = run(SoftmaxWithLoss(normalization="batch_size"), SCORES, LABELS).y[0]
    assert sum(run(layer, SCORES, LABELS).y[0] for layer in layers) == pytest.approx(4 * whole, rel=1e-12)


@pytest.mark.parametrize("normalization", ["valid", "full", "batch_size", "none"])
def test_where_all_is_ignored_loss_and_gradient_are_zero(normalization: Any, run: Any) -> None:
    made = run(SoftmaxWithLoss(ignore_label=255, normalization=normalization), SCORES, np.full((3, 4, 2), 255))
    assert made.y[0] == 0
    assert not made.dx.any()


@pytest.mark.parametrize("ignored", [255, -1])
def test_an_ignored_label_need_not_be_a_class(ignored: int, run: Any) -> None:
    made = run(SoftmaxWithLoss(ignore_label=ignored), np.zeros((3, 4)), np.array([1, ignored, 2]))
    assert made.y[0] == pytest.approx(log(4))
    assert not made.dx[1].any()


@pytest.mark.parametrize(("shape", "axis"), [((2, 3, 5, 2), 2), ((2, 3, 5), -1), ((2, 5, 3), -2)])
def test_another_axis_is_axis_one_after_turning(shape: tuple[int, ...], axis: int, run: Any) -> None:
    x = RNG.standard_normal(shape)
    turned = np.moveaxis(x, axis, 1)
    label = RNG.integers(0, 5, (turned.shape[0], *turned.shape[2:]))
    one, other = run(SoftmaxWithLoss(axis=axis), x, label), run(SoftmaxWithLoss(), turned, label)
    assert one.y[0] == pytest.approx(other.y[0], rel=1e-12)
    np.testing.assert_allclose(np.moveaxis(one.dx, axis, 1), other.dx, atol=1e-15)


@pytest.mark.parametrize("weight", [[1.0, 0, 2.5], [0.25, 0.25, 0.25]])
def test_a_weight_for_each_sample(weight: list[float], run: Any) -> None:
    spread = np.reshape(weight, (3, 1, 1)) * np.ones(LABELS.shape)
    made = run(SoftmaxWithLoss(), SCORES, LABELS, np.array(weight))
    assert made.y[0] == pytest.approx((COSTS * spread).sum() / spread.sum())
    np.testing.assert_allclose(made.dx, run(SoftmaxWithLoss(), SCORES, LABELS, spread).dx, atol=1e-16)


def test_a_weight_of_zero_ignores_a_place_whatever_its_label(run: Any) -> None:
    made = run(SoftmaxWithLoss(), np.zeros((2, 4)), np.array([3, 99]), np.array([1.0, 0]))
    assert made.y[0] == pytest.approx(log(4))
    assert not made.dx[1].any()


def test_an_ignored_label_weighs_nothing(run: Any) -> None:
    made = run(SoftmaxWithLoss(ignore_label=0), SCORES[:, :, 0, 0], np.array([0, 1, 2]), np.array([5.0, 1, 3]))
    logs = LOGS[:, :, 0, 0] - np.log(np.exp(LOGS[:, :, 0, 0]).sum(axis=1, keepdims=True))
    assert made.y[0] == pytest.approx(-(logs[1, 1] + 3 * logs[2, 2]) / 4)


def test_probabilities_of_one_class_are_that_label(run: Any) -> None:
    x, label = SCORES[:, :, 0, 0], np.array([4, 0, 2])
    hard, soft = run(SoftmaxWithLoss(), x, label), run(SoftmaxWithLoss(), x, np.eye(5)[label])
    assert soft.y[0] == pytest.approx(hard.y[0], rel=1e-12)
    np.testing.assert_allclose(soft.dx, hard.dx, atol=1e-15)


def test_probabilities_by_hand(run: Any) -> None:
    made = run(SoftmaxWithLoss(), np.log([[1.0, 3], [1, 1]]), np.array([[0.5, 0.5], [1, 0]]), np.array([1.0, 3]))
    assert made.y[0] == pytest.approx((-0.5 * log(0.25 * 0.75) + 3 * log(2)) / 4)
    np.testing.assert_allclose(made.dx, [[-0.0625, 0.0625], [-0.375, 0.375]], atol=1e-15)


def test_the_label_gets_no_gradient(run: Any) -> None:
    assert run(SoftmaxWithLoss(), np.zeros((2, 3)), np.eye(3)[:2]).dxs[1] is None


@pytest.mark.parametrize("keys", [{}, {"ignore_label": 1}, {"normalization": "batch_size"}, {"normalization": "none"}])
@pytest.mark.parametrize(("shape", "labels"), [((4, 3), (4,)), ((2, 3, 2, 2), (2, 2, 2)), ((2, 3, 4), (2, 4))])
def test_sits_the_exam(shape: tuple[int, ...], labels: tuple[int, ...], keys: Any) -> None:
    check_layer(SoftmaxWithLoss(**keys), shape, Shape(labels, "index"), classes=3)


def test_the_gradient_is_right_with_probabilities_and_weights() -> None:
    target = np.abs(RNG.standard_normal((4, 3)))  # need not sum to 1
    check_gradient(SoftmaxWithLoss(), (4, 3), (4, 3), (4,), xs=[RNG.standard_normal((4, 3)), target, np.array([1, 0.5, 0, 2])])


# --- weights of classes, smoothed labels, the top of probabilities ---
@pytest.mark.parametrize(("normalization", "z"), [("valid", 4.5), ("full", 4.5), ("batch_size", 4.5), ("none", 1)])
def test_a_class_weighs_what_the_key_says(normalization: Any, z: float, run: Any) -> None:
    x, label = SCORES[:, :, 0, 0], np.array([1, 1, 3])
    weights = np.array([2.0, 2, 0.5])
    layer = SoftmaxWithLoss(class_weight=(9.0, 2.0, 9.0, 0.5, 9.0), normalization=normalization)
    costs = -LOGS[np.arange(3), label, 0, 0]
    assert run(layer, x, label).y[0] == pytest.approx((costs * weights).sum() / z)
    np.testing.assert_allclose(run(layer, x, label).dx, (np.exp(LOGS[:, :, 0, 0]) - np.eye(5)[label]) * weights[:, None] / z)


def test_a_class_of_weight_0_is_ignored_and_further_weights_multiply(run: Any) -> None:
    x, label = SCORES[:, :, 0, 0], np.array([1, 0, 3])
    made = run(SoftmaxWithLoss(class_weight=(0.0, 1.0, 1.0, 2.0, 1.0), ignore_label=1), x, label, np.array([7.0, 7, 3]))
    assert made.sums == pytest.approx([-6 * LOGS[2, 3, 0, 0], 6])
    assert not made.dx[:2].any()


@pytest.mark.parametrize(("normalization", "weight", "z"), [
    ("full", [1.0, 3, 0], 4 * 8), ("batch_size", [1.0, 3, 0], 4), ("none", [1.0, 3, 0], 1), ("valid", [1.0, 3, 0], None),
])  # fmt: skip
def test_samples_count_as_much_as_they_weigh(normalization: Any, weight: list[float], z: float | None, run: Any) -> None:
    """A weight of 3 is the same as the sample three times."""
    layer = SoftmaxWithLoss(normalization=normalization, ignore_label=1)
    kept = (LABELS != 1) * np.reshape(weight, (3, 1, 1))
    made = run(layer, SCORES, LABELS, np.array(weight))
    assert made.sums == pytest.approx([(COSTS * kept).sum(), kept.sum() if z is None else z])
    again = run(layer, SCORES[[0, 1, 1, 1]], LABELS[[0, 1, 1, 1]])
    assert made.sums == pytest.approx(again.sums)


def test_smoothed_labels_are_probabilities(run: Any) -> None:
    x, label = SCORES[:, :, 0, 0], np.array([4, 0, 2])
    hard = run(SoftmaxWithLoss(label_smoothing=0.1), x, label)
    soft = run(SoftmaxWithLoss(), x, np.eye(5)[label] * 0.9 + 0.02)
    assert hard.y[0] == pytest.approx(soft.y[0], rel=1e-12)
    np.testing.assert_allclose(hard.dx, soft.dx, atol=1e-15)
    both = run(SoftmaxWithLoss(label_smoothing=0.1), x, np.eye(5)[label])
    assert both.y[0] == pytest.approx(hard.y[0], rel=1e-12)
    np.testing.assert_allclose(both.dx, hard.dx, atol=1e-15)


def test_probabilities_of_an_image(run: Any) -> None:
    hits = np.eye(5)[LABELS].transpose(0, 3, 1, 2)
    made = run(SoftmaxWithLoss(), SCORES, hits, np.array([1.0, 0, 2]))
    hard = run(SoftmaxWithLoss(), SCORES, LABELS, np.array([1.0, 0, 2]))
    assert made.sums == pytest.approx(hard.sums)
    np.testing.assert_allclose(made.dx, hard.dx, atol=1e-15)


def test_the_probabilities_can_be_read_and_pass_a_gradient_on(run: Any) -> None:
    made = run(SoftmaxWithLoss(), np.log([[1.0, 2, 7]]), np.array([2]))
    np.testing.assert_allclose(made.tops[1], [[0.1, 0.2, 0.7]])
    _, dxs, _ = made.trial.run([np.log([[1.0, 2, 7]]), np.array([2])], [np.zeros(1), np.array([[1.0, 0, 0]])], {})
    np.testing.assert_allclose(dxs[0], [[0.09, -0.02, -0.07]], atol=1e-15)


@pytest.mark.parametrize("keys", [{"label_smoothing": 0.3}, {"class_weight": (0.5, 2.0, 0.0)},
                                  {"label_smoothing": 0.1, "class_weight": (1.0, 2.0, 3.0), "ignore_label": 2}])  # fmt: skip
@pytest.mark.parametrize("labels", [(2, 4), (2,)])
def test_sits_the_exam_with_weighted_classes(keys: Any, labels: tuple[int, ...]) -> None:
    check_layer(SoftmaxWithLoss(**keys), (2, 3, *labels[1:]), Shape(labels, "index"), labels, classes=3)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({"axis": 2}, [(4, 3), Shape((4,), "index")], "axis", "2 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), (4, 2)], "bottom", "probabilities must have the shape of x: 4 x 2 against 4 x 3"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 for scores of 4 x 3, not 5"),
    ({}, [(4, 3, 2), Shape((4,), "index")], "bottom", "the label must be 4 x 2 for scores of 4 x 3 x 2, not 4"),
    ({}, [(4, 3), Shape((4,), "index"), (3,)], "bottom", "the weight must be 4 or 4, not 3"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
    ({"ignore_label": 1}, [(4, 3), (4, 3)], "ignore_label", "needs integer labels, not probabilities; give such places a weight"),
    ({"class_weight": (1.0,) * 3}, [(4, 3), (4, 3)], "class_weight", "needs integer labels, not probabilities"),
    ({"class_weight": (1.0, 2.0)}, [(4, 3), Shape((4,), "index")], "class_weight", "needs one number for each of the 3 classes"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(SoftmaxWithLoss(**keys), shapes, key, words)
