"""MeanMomentum: by hand, its limits, and two rates that follow one policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.fields import Span
from dltrain.solvers.mean_momentum import MeanMomentum
from dltrain.solvers.schedules import Step
from dltrain.solvers.sgd import SGD

RNG = np.random.default_rng(8)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def test_by_hand(descend: Any) -> None:
    """m = 2, then 1 + 2 = 3, then 1.5; a step is half of g, and of 3 m."""
    descent = descend(MeanMomentum(base_lr=0.5, momentum=0.5, mean_mult=3.0), [20.0])
    assert [float(descent.step([g])[0]) for g in (4.0, 4.0, 0.0)] == [15, 8.5, 6.25]
    assert descent["mean"][0] == 1.5


def test_a_steady_slope_is_descended_by_both_rates_at_last(descend: Any) -> None:
    descent = descend(MeanMomentum(base_lr=0.1, momentum=0.5, mean_mult=4.0), [0.0])
    ws = [float(descent.step([1.0])[0]) for _ in range(60)]
    assert ws[-1] - ws[-2] == pytest.approx(-0.1 * (1 + 4))


@pytest.mark.parametrize(("keys", "rate"), [({"mean_mult": 0.0}, 0.1), ({"momentum": 0.0, "mean_mult": 2.0}, 0.3)])
def test_without_a_mean_or_a_memory_it_is_plain_descent(keys: Any, rate: float, descend: Any) -> None:
    one, other = descend(MeanMomentum(base_lr=0.1, **keys), START), descend(SGD(base_lr=rate), START)
    for _ in range(5):
        g = RNG.standard_normal(5)
        np.testing.assert_allclose(one.step(g), other.step(g), rtol=1e-12)


def test_ten_steps_of_least_squares(descend: Any) -> None:
    """Smola's formula: lambda 0.2, eta halved every 3 steps, and with it eta' = 1.5 eta; the last two learn twice as fast."""
    policy = Step(gamma=0.5, stepsize=Span(3))
    solver = MeanMomentum(base_lr=0.1, momentum=0.8, mean_mult=1.5, weight_decay=0.02, lr_policy=policy)
    descent = descend(solver, START, [(0, 3, 1.0, 1.0), (3, 5, 2.0, 0.0)])
    w, m, mult, decay = np.array(START), np.zeros(5), np.array([1, 1, 1, 2, 2]), np.array([0.02] * 3 + [0, 0])
    for iteration in range(10):
        found = descent.step(A.T @ (A @ w - Y) / 8)
        g = A.T @ (A @ w - Y) / 8 + decay * w
        m = (1 - 0.2) * m + 0.2 * g
        eta = 0.1 * 0.5 ** (iteration // 3) * mult
        w = w - eta * g - 1.5 * eta * m
        np.testing.assert_allclose(found, w, rtol=1e-12)


@pytest.mark.parametrize("keys", [{}, {"momentum": 0.0}, {"mean_mult": 9.0, "weight_decay": 0.1}])
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(MeanMomentum(base_lr=0.01, **keys))
