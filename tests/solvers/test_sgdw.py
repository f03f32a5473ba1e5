"""SGDW: by hand, a decay that no rate touches, and Loshchilov's form by the same policy twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.fields import Moving, Span
from dltrain.policy import based
from dltrain.solvers.schedules import Step
from dltrain.solvers.sgd import SGD
from dltrain.solvers.sgdw import SGDW

RNG = np.random.default_rng(9)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def test_by_hand(descend: Any) -> None:
    """Half of w goes in each step, beside v = 1, then 1/2 + 1."""
    descent = descend(SGDW(base_lr=0.25, momentum=0.5, weight_decay=0.5), [16.0])
    assert [float(descent.step([4.0])[0]) for _ in range(2)] == [8 - 1, 3.5 - 1.5]
    assert descent["velocity"][0] == 1.5


def test_the_decay_knows_no_rate(descend: Any) -> None:
    """The rate falls to 0 after the first step, the second parameter learns four times as fast, the third is not decayed."""
    solver = SGDW(base_lr=1.0, weight_decay=0.5, lr_policy=Step(gamma=0.0, stepsize=Span(1)))
    descent = descend(solver, [8.0, 8.0, 8.0], [(0, 1, 1.0, 1.0), (1, 2, 4.0, 1.0), (2, 3, 1.0, 0.0)])
    assert descent.step([1.0, 1.0, 1.0]).tolist() == [3, 0, 7]
    assert descent.step([1.0, 1.0, 1.0]).tolist() == [1.5, 0, 7]


def test_l1_pulls_by_the_sign(descend: Any) -> None:
    descent = descend(SGDW(base_lr=0.5, weight_decay=0.25, regularization_type="L1"), [8.0, -3.0, 0.0])
    assert descent.step([0.0, 0.0, 0.0]).tolist() == [7.75, -2.75, 0]


def test_a_late_start_holds_for_a_decay_apart_too(descend: Any) -> None:
    descent = descend(SGDW(base_lr=0.1, weight_decay=0.5, regularization_start=Span(2)), [1.0])
    assert [float(descent.step([0.0])[0]) for _ in range(3)] == [1, 1, 0.5]


def test_without_decay_it_is_sgd(descend: Any) -> None:
    one, other = (descend(kind(base_lr=0.1, momentum=0.9), START) for kind in (SGDW, SGD))
    for _ in range(10):
        g = RNG.standard_normal(5)
        np.testing.assert_allclose(one.step(g), other.step(g), rtol=1e-14)


def test_ten_steps_of_least_squares(descend: Any) -> None:
    """Smola's w <- (1 - lambda) w - eta g, with momentum in eta g."""
    solver = SGDW(base_lr=0.05, momentum=0.9, weight_decay=0.02, lr_policy=Step(gamma=0.5, stepsize=Span(4)))
    descent, w, v = descend(solver, START), np.array(START), np.zeros(5)
    for iteration in range(10):
        g = A.T @ (A @ w - Y) / 8
        v = 0.9 * v + 0.05 * 0.5 ** (iteration // 4) * g
        found, w = descent.step(g), (1 - 0.02) * w - v
        np.testing.assert_allclose(found, w, rtol=1e-12)


def test_the_same_policy_twice_is_loshchilovs_schedule(descend: Any) -> None:
    """m <- momentum m + s alpha g;   w <- w - m - s lambda w          (s: the schedule, 1 at first)"""
    falling = {"gamma": 0.5, "stepsize": Span(3)}
    decay: Any = based(Step, Moving())(base=0.02, **falling)  # type: ignore[call-arg]
    descent = descend(SGDW(base_lr=0.05, momentum=0.9, weight_decay=decay, lr_policy=Step(**falling)), START)
    w, m = np.array(START), np.zeros(5)
    for iteration in range(10):
        s, g = 0.5 ** (iteration // 3), A.T @ (A @ w - Y) / 8
        m = 0.9 * m + s * 0.05 * g
        found, w = descent.step(g), w - m - s * 0.02 * w
        np.testing.assert_allclose(found, w, rtol=1e-12)


@pytest.mark.parametrize("keys", [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"weight_decay": 0.1, "regularization_type": "L1"}])
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(SGDW(base_lr=0.01, **keys))
