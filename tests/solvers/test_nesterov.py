"""Nesterov: by hand, and ten steps of least squares against the look-ahead form of the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.solvers.nesterov import Nesterov
from dltrain.solvers.schedules import Exp
from dltrain.solvers.sgd import SGD

RNG = np.random.default_rng(1)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def slope(w: Any) -> Any:
    return A.T @ (A @ w - Y) / 8


def test_a_steady_slope_by_hand(descend: Any) -> None:
    descent = descend(Nesterov(base_lr=0.1, momentum=0.5), [1.0])
    assert [float(descent.step([1.0])[0]) for _ in range(3)] == pytest.approx([0.85, 0.675, 0.4875])
    assert descent["velocity"][0] == pytest.approx(0.175)


def test_without_momentum_it_is_sgd(descend: Any) -> None:
    one, other = descend(Nesterov(base_lr=0.1), START), descend(SGD(base_lr=0.1), START)
    for _ in range(5):
        np.testing.assert_allclose(one.step(slope(one["w"])), other.step(slope(other["w"])), rtol=1e-14)


def test_ten_steps_of_least_squares(descend: Any) -> None:
    solver = Nesterov(base_lr=0.05, momentum=0.9, weight_decay=0.02, lr_policy=Exp(gamma=0.9))
    descent, w, v = descend(solver, START), np.array(START), np.zeros(5)
    for iteration in range(10):
        found = descent.step(slope(w))
        old, v = v, 0.9 * v + 0.05 * 0.9**iteration * (slope(w) + 0.02 * w)
        w = w - (1.9 * v - 0.9 * old)
        np.testing.assert_allclose(found, w, rtol=1e-12)


def test_is_momentum_with_the_gradient_taken_where_the_momentum_leads(descend: Any) -> None:
    """Sutskever 2013: v <- m v - lr grad(theta + m v), theta <- theta + v;   our w is theta + m v."""
    descent, theta, v = descend(Nesterov(base_lr=0.05, momentum=0.8), START), np.array(START), np.zeros(5)
    for _ in range(10):
        v = 0.8 * v - 0.05 * slope(theta + 0.8 * v)
        theta = theta + v
        np.testing.assert_allclose(descent.step(slope(descent["w"])), theta + 0.8 * v, rtol=1e-12, atol=1e-14)
