"""AdaDelta: by hand, and ten steps of least squares against the formula written out."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.solvers.adadelta import AdaDelta

RNG = np.random.default_rng(3)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def test_by_hand(descend: Any) -> None:
    """h = 8, u = 4 sqrt(1 / 9), s = 16/18; then h = 12, u = 4 sqrt((16/18 + 1) / 13)."""
    descent = descend(AdaDelta(base_lr=0.5, momentum=0.5, delta=1.0), [1.0])
    assert descent.step([4.0])[0] == pytest.approx(1 - 0.5 * 4 / 3)
    assert descent["square"][0] == 8 and descent["step"][0] == pytest.approx(8 / 9)
    assert descent.step([4.0])[0] == pytest.approx(1 - 0.5 * 4 / 3 - 0.5 * 4 * sqrt((8 / 9 + 1) / 13))


def test_ten_steps_of_least_squares(descend: Any) -> None:
    solver = AdaDelta(base_lr=1.0, momentum=0.9, delta=1e-4, weight_decay=0.02)
    descent, w, h, s = descend(solver, START), np.array(START), np.zeros(5), np.zeros(5)
    for _ in range(10):
        found = descent.step(A.T @ (A @ w - Y) / 8)
        g = A.T @ (A @ w - Y) / 8 + 0.02 * w
        h = 0.9 * h + 0.1 * g * g
        u = g * np.sqrt((s + 1e-4) / (h + 1e-4))
        s = 0.9 * s + 0.1 * u * u
        w = w - u
        np.testing.assert_allclose(found, w, rtol=1e-12)


def test_the_unit_of_the_gradient_does_not_matter(descend: Any) -> None:
    one, other = (descend(AdaDelta(base_lr=1.0, momentum=0.9), [0.0]) for _ in range(2))
    for g in (1.0, -0.5, 2.0):
        np.testing.assert_allclose(one.step([g]), other.step([1000 * g]), rtol=1e-6)


@pytest.mark.parametrize("keys", [{}, {"momentum": 0.5, "delta": 1e-4}, {"weight_decay": 0.1, "regularization_type": "L1"}])
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(AdaDelta(base_lr=1.0, **keys))
