"""SumMomentum: by hand, as SGD where the rate stays, and a new rate for all that has been gathered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.fields import Span
from dltrain.solvers.schedules import MultiStep, Step
from dltrain.solvers.sgd import SGD
from dltrain.solvers.sum_momentum import SumMomentum

RNG = np.random.default_rng(7)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def test_by_hand(descend: Any) -> None:
    """m = 4, then 4 + 2, then 0 + 3."""
    descent = descend(SumMomentum(base_lr=0.5, momentum=0.5), [10.0])
    assert [float(descent.step([g])[0]) for g in (4.0, 4.0, 0.0)] == [8, 5, 3.5]
    assert descent["total"][0] == 3


def test_a_new_rate_acts_on_what_was_gathered_where_sgds_does_not(descend: Any) -> None:
    policy = MultiStep(gamma=0.0, stepvalue=(Span(1),))
    one, other = (descend(kind(base_lr=1.0, momentum=0.5, lr_policy=policy), [0.0]) for kind in (SumMomentum, SGD))
    assert [float(one.step([8.0])[0]) for _ in range(3)] == [-8, -8, -8]
    assert [float(other.step([8.0])[0]) for _ in range(3)] == [-8, -12, -14]


def test_at_a_constant_rate_it_goes_sgds_way(descend: Any) -> None:
    keys: dict[str, Any] = {"base_lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}
    one, other = descend(SumMomentum(**keys), START), descend(SGD(**keys), START)
    for _ in range(10):
        g = RNG.standard_normal(5)
        np.testing.assert_allclose(one.step(g), other.step(g), rtol=1e-12)


def test_ten_steps_of_least_squares(descend: Any) -> None:
    """PyTorch's formula: g <- g + decay w;  m <- g in the first step, momentum m + g in the others;  w <- w - lr m."""
    solver = SumMomentum(base_lr=0.1, momentum=0.9, weight_decay=0.02, lr_policy=Step(gamma=0.5, stepsize=Span(3)))
    descent, w, m = descend(solver, START), np.array(START), np.zeros(5)
    for iteration in range(10):
        found = descent.step(A.T @ (A @ w - Y) / 8)
        g = A.T @ (A @ w - Y) / 8 + 0.02 * w
        m = g if iteration == 0 else 0.9 * m + g
        w = w - 0.1 * 0.5 ** (iteration // 3) * m
        np.testing.assert_allclose(found, w, rtol=1e-12)


@pytest.mark.parametrize("keys", [{}, {"momentum": 0.0}, {"weight_decay": 0.1}])
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(SumMomentum(base_lr=0.01, **keys))
