"""KLDivergenceLoss: by hand, of probabilities and of their logarithms; zeros of the target cost nothing."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.kl_divergence_loss import KLDivergenceLoss
from dltrain.tensor import Shape
from dltrain.testing import check_gradient, check_layer

P, T = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]), np.array([[0.5, 0.5, 0], [0.1, 0.2, 0.7]])


@pytest.mark.parametrize("logs", [False, True])
def test_by_hand(logs: bool, run: Any) -> None:
    made = run(KLDivergenceLoss(log_probabilities=logs), np.log(P) if logs else P, T)
    assert made.y[0] == pytest.approx(0.5 * log(2) / 2)
    np.testing.assert_allclose(made.dx, (-T if logs else -T / P) / 2)
    assert made.dxs[1] is None


def test_a_probability_of_0_is_taken_for_one_of_1e_minus_20(run: Any) -> None:
    made = run(KLDivergenceLoss(), np.array([[0.0, 1]]), np.array([[1.0, 0]]), dtype=np.float32)
    assert made.y[0] == pytest.approx(-log(1e-20), rel=1e-6)
    np.testing.assert_allclose(made.dx, [[-1e20, 0]])


def test_it_is_never_negative_and_0_only_of_equals(run: Any) -> None:
    rng = np.random.default_rng(0)
    p, t = (x / x.sum(axis=1, keepdims=True) for x in rng.random((2, 50, 4)))
    assert run(KLDivergenceLoss(), p, t).y[0] > 0
    assert run(KLDivergenceLoss(), t, t).y[0] == 0


def test_weights(run: Any) -> None:
    made = run(KLDivergenceLoss(), P, T, np.array([3.0, 1]))
    assert made.sums == pytest.approx([1.5 * log(2), 4])
    np.testing.assert_allclose(made.dx, -T / P * [[0.75], [0.25]])


@pytest.mark.parametrize("shapes", [[(4,), (4,)], [(2, 3), (2, 3), (2,)], [(2, 3, 2), (2, 3, 2), (2, 3, 2)]])
def test_sits_the_exam(shapes: Any) -> None:
    check_layer(KLDivergenceLoss(log_probabilities=True), *shapes)


def test_the_gradient_of_probabilities_is_right() -> None:
    p, t = np.random.default_rng(1).uniform(0.1, 1, (2, 3, 4))
    check_gradient(KLDivergenceLoss(), (3, 4), (3, 4), xs=[p, t])


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2,)], "needs a target for each number of x: 2 x 3 against 2"),
    ([(2, 3), Shape((2, 3), "index")], "needs real numbers, not the integers of 2 x 3"),
    ([(2, 3), (2, 3), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(KLDivergenceLoss(), shapes, "bottom", words)
