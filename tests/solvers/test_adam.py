"""Adam: by hand, against the paper's two corrections where delta does not count, and ten steps of least squares."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.solvers.adam import Adam

RNG = np.random.default_rng(4)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def test_by_hand(descend: Any) -> None:
    """t = 1: m = 2, v = 4, correction = sqrt(1/4) / (1/2) = 1; t = 2: m = 3, v = 7, correction = sqrt(7/16) / (3/4)."""
    descent = descend(Adam(base_lr=0.1, momentum=0.5, momentum2=0.75, delta=1.0), [1.0])
    assert descent.step([4.0])[0] == pytest.approx(1 - 0.1 * 2 / 3)
    assert descent.step([4.0])[0] == pytest.approx(1 - 0.1 * 2 / 3 - 0.1 * sqrt(7 / 16) / 0.75 * 3 / (sqrt(7) + 1))
    assert (descent["mean"][0], descent["square"][0]) == (3, 7)


def test_the_correction_of_each_step() -> None:
    solver = Adam(base_lr=0.1, momentum=0.9, momentum2=0.999)
    assert [solver.computed(i, None)["correction"] for i in (0, 1)] == pytest.approx([sqrt(0.001) / 0.1, sqrt(0.001999) / 0.19])
    assert solver.computed(10**6, None)["correction"] == 1


def test_a_steady_slope_is_descended_in_steps_of_the_rate(descend: Any) -> None:
    descent = descend(Adam(base_lr=0.1), [0.0, 0.0])
    for step in range(1, 400):  # 329 is where an Adam that feeds its corrected moments back overflows
        assert descent.step([1.0, -1e3]) == pytest.approx([-0.1 * step, 0.1 * step], rel=1e-5)


def test_ten_steps_of_least_squares(descend: Any) -> None:
    solver = Adam(base_lr=0.05, momentum=0.8, momentum2=0.95, weight_decay=0.02)
    descent, w, m, v = descend(solver, START), np.array(START), np.zeros(5), np.zeros(5)
    for t in range(1, 11):
        found = descent.step(A.T @ (A @ w - Y) / 8)
        g = A.T @ (A @ w - Y) / 8 + 0.02 * w
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        w = w - 0.05 * (m / (1 - 0.8**t)) / np.sqrt(v / (1 - 0.95**t))
        np.testing.assert_allclose(found, w, rtol=1e-6)


@pytest.mark.parametrize("keys", [{}, {"momentum": 0.0}, {"momentum2": 0.9, "delta": 1e-3}, {"weight_decay": 0.1}])
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(Adam(base_lr=0.01, **keys))
