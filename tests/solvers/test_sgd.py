"""SGD: by hand, and ten steps of least squares against the formula written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.fields import Span
from dltrain.solvers.schedules import Inv, MultiStep, Step
from dltrain.solvers.sgd import SGD

RNG = np.random.default_rng(0)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)


@pytest.mark.parametrize(("momentum", "expected"), [
    (0.0, [0.9, 0.8, 0.7]),
    (0.5, [0.9, 0.75, 0.575]),
    (0.9, [0.9, 0.71, 0.439]),
])  # fmt: skip
def test_a_steady_slope_by_hand(momentum: float, expected: list[float], descend: Any) -> None:
    descent = descend(SGD(base_lr=0.1, momentum=momentum), [1.0])
    assert [float(descent.step([1.0])[0]) for _ in expected] == pytest.approx(expected)


def test_the_velocity_is_what_was_taken_away(descend: Any) -> None:
    descent = descend(SGD(base_lr=0.1, momentum=0.5), [1.0, -3.0])
    before = descent.step([1.0, 2.0])
    np.testing.assert_allclose(before - descent.step([4.0, -1.0]), descent["velocity"])


def test_a_new_rate_leaves_the_gathered_speed_alone(descend: Any) -> None:
    policy = MultiStep(gamma=0.0, stepvalue=(Span(1),))
    descent = descend(SGD(base_lr=1.0, momentum=0.5, lr_policy=policy), [0.0])
    assert [float(descent.step([8.0])[0]) for _ in range(4)] == [-8, -12, -14, -15]


def test_ten_steps_of_least_squares(descend: Any) -> None:
    solver = SGD(base_lr=0.05, momentum=0.9, weight_decay=0.02, lr_policy=Inv(gamma=0.1, power=0.75))
    descent = descend(solver, [1.0, -1, 0.5, 2, 0])
    w, v = np.array([1.0, -1, 0.5, 2, 0]), np.zeros(5)
    for iteration in range(10):
        found = descent.step(A.T @ (A @ w - Y) / 8)
        v = 0.9 * v + 0.05 * (1 + 0.1 * iteration) ** -0.75 * (A.T @ (A @ w - Y) / 8 + 0.02 * w)
        w = w - v
        np.testing.assert_allclose(found, w, rtol=1e-12)


def test_ten_steps_with_everything_at_once(descend: Any) -> None:
    solver = SGD(
        base_lr=0.2, momentum=0.5, weight_decay=0.1, regularization_type="L1", clip_gradients=1.5, iter_size=4,
        lr_policy=Step(gamma=0.5, stepsize=Span(3)),
    )  # fmt: skip
    descent = descend(solver, [1.0, -1, 0.5, 2, 0], segments=[(0, 3, 1.0, 1.0), (3, 5, 2.0, 0.0)])
    w, v = np.array([1.0, -1, 0.5, 2, 0]), np.zeros(5)
    rates, decays = np.array([1, 1, 1, 2, 2]), np.array([1, 1, 1, 0, 0])
    for iteration in range(10):
        g = A.T @ (A @ w - Y)  # the sum of four passes
        found = descent.step(g)
        g = g * min(1, 1.5 / np.linalg.norm(g)) / 4 + 0.1 * decays * np.sign(w)
        v = 0.5 * v + 0.2 * 0.5 ** (iteration // 3) * rates * g
        w = w - v
        np.testing.assert_allclose(found, w, rtol=1e-12, atol=1e-14)


def test_the_rates_of_a_step_are_named() -> None:
    solver = SGD(base_lr=0.1, momentum=0.9, weight_decay=5e-4)
    assert solver.hyper == ("momentum",)
    assert solver.rates(7, None) == {"lr": 0.1, "decay": 5e-4, "momentum": 0.9}
