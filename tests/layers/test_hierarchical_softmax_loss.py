"""HierarchicalSoftmaxLoss: the probabilities of all classes sum to 1, each from its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.hierarchical_softmax_loss import HierarchicalSoftmaxLoss
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3))
PARAMS = {"weight": RNG.standard_normal((7, 3)), "bias": RNG.standard_normal(7),
          "group_weight": RNG.standard_normal((3, 3)), "group_bias": RNG.standard_normal(3)}  # fmt: skip


def softmax(s: Any) -> Any:
    return np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)


def probabilities() -> Any:
    """Of each of seven classes in groups of three: 0 1 2, 3 4 5, 6."""
    groups = softmax(X @ PARAMS["group_weight"].T + PARAMS["group_bias"])
    scores = X @ PARAMS["weight"].T + PARAMS["bias"]
    return np.concatenate([groups[:, [g]] * softmax(scores[:, 3 * g : 3 * g + 3]) for g in range(3)], axis=1)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("label", range(7))
def test_is_the_probability_of_the_group_times_that_of_the_class_in_it(label: int, train: bool, run: Any) -> None:
    made = run(HierarchicalSoftmaxLoss(num_output=7), X, np.full(5, label), params=PARAMS, train=train)
    assert made.y[0] == pytest.approx(-np.log(probabilities()[:, label]).mean())


def test_the_probabilities_of_all_classes_sum_to_1() -> None:
    np.testing.assert_allclose(probabilities().sum(axis=1), 1)


def test_a_net_that_knows_nothing_spreads_over_groups_and_then_over_classes(run: Any) -> None:
    zeros = {role: np.zeros_like(value) for role, value in PARAMS.items()}
    assert run(HierarchicalSoftmaxLoss(num_output=7), X, np.full(5, 1), params=zeros).y[0] == pytest.approx(np.log(9))
    assert run(HierarchicalSoftmaxLoss(num_output=7), X, np.full(5, 6), params=zeros).y[0] == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("classes", "size", "groups"), [(7, None, 3), (100, None, 10), (101, None, 10), (7, 2, 4), (7, 7, 1), (7, 50, 1)]
)
def test_groups(classes: int, size: int | None, groups: int) -> None:
    trial = Trial(HierarchicalSoftmaxLoss(num_output=classes, group_size=size), [Shape((2, 3)), Shape((2,), "index")])
    shapes = {part.role: tuple(part.shape) for part in trial.store.segments.values()}
    assert shapes == {"weight": (classes, 3), "bias": (classes,), "group_weight": (groups, 3), "group_bias": (groups,)}


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    label = np.array([0, 4, -1, 6, 6])
    made = run(HierarchicalSoftmaxLoss(num_output=7, ignore_label=-1), X, label, np.array([1.0, 0, 9, 2, 1]), params=PARAMS)
    p = probabilities()
    assert made.sums == pytest.approx([-np.log(p[0, 0]) - 2 * np.log(p[3, 6]) - np.log(p[4, 6]), 4])
    assert not made.dx[1:3].any() and not made.grads["weight"][3:6].any()


@pytest.mark.parametrize(("shape", "weight"), [((4, 3), ()), ((2, 3, 4), ((2,),)), ((2, 3, 4), ((2, 3),))])
@pytest.mark.parametrize("keys", [{}, {"group_size": 2, "bias_term": False, "ignore_label": 1}, {"group_size": 9}])
def test_sits_the_exam(shape: Any, weight: Any, keys: Any) -> None:
    check_layer(HierarchicalSoftmaxLoss(num_output=9, **keys), shape, Shape(shape[:-1], "index"), *weight, classes=9)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(4, 3), Shape((5,), "index")], "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ([(4, 3), (4,)], "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ([(4, 2, 3), Shape((4, 2), "index"), (2,)], "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(HierarchicalSoftmaxLoss(num_output=5), shapes, "bottom", words)
