"""RMSProp: by hand, and ten steps of least squares against the formula written out."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.solvers.rmsprop import RMSProp
from dltrain.solvers.schedules import Exp

RNG = np.random.default_rng(2)
A, Y = RNG.standard_normal((8, 5)), RNG.standard_normal(8)
START = [1.0, -1, 0.5, 2, 0]


def test_by_hand(descend: Any) -> None:
    """h = 0.5 * 8 = 4, then 0.5 * 4 + 0.5 * 8 = 6."""
    descent = descend(RMSProp(base_lr=0.3, rms_decay=0.5, delta=1.0), [1.0])
    assert descent.step([sqrt(8)])[0] == pytest.approx(1 - 0.3 * sqrt(8) / 3)
    assert descent.step([sqrt(8)])[0] == pytest.approx(1 - 0.3 * sqrt(8) / 3 - 0.3 * sqrt(8) / (sqrt(6) + 1))
    assert descent["square"][0] == pytest.approx(6)


def test_a_steady_slope_ends_in_steps_of_the_rate(descend: Any) -> None:
    descent = descend(RMSProp(base_lr=0.1, rms_decay=0.5), [0.0])
    ws = [float(descent.step([7.0])[0]) for _ in range(60)]
    assert ws[-2] - ws[-1] == pytest.approx(0.1)


def test_ten_steps_of_least_squares(descend: Any) -> None:
    solver = RMSProp(base_lr=0.05, rms_decay=0.9, delta=1e-3, weight_decay=0.02, lr_policy=Exp(gamma=0.9))
    descent, w, h = descend(solver, START), np.array(START), np.zeros(5)
    for iteration in range(10):
        found = descent.step(A.T @ (A @ w - Y) / 8)
        g = A.T @ (A @ w - Y) / 8 + 0.02 * w
        h = 0.9 * h + 0.1 * g * g
        w = w - 0.05 * 0.9**iteration * g / (np.sqrt(h) + 1e-3)
        np.testing.assert_allclose(found, w, rtol=1e-12)


def test_with_eps_inside_the_root(descend: Any) -> None:
    """Larochelle's g / sqrt(gamma + eps): h = 4, and 4 + 5 = 9; a weight without a gradient stays, also with eps 0."""
    descent = descend(RMSProp(base_lr=0.3, rms_decay=0.5, delta=0.0, inside_root=5.0), [1.0])
    assert descent.step([sqrt(8)])[0] == pytest.approx(1 - 0.3 * sqrt(8) / 3)
    assert descend(RMSProp(base_lr=0.3, delta=0.0), [2.0]).step([0.0]).tolist() == [2]


def test_there_is_no_momentum() -> None:
    assert "momentum" not in RMSProp.__dataclass_fields__  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"rms_decay": 0.5, "delta": 1e-3},
        {"delta": 0.0, "inside_root": 0.1},
        {"weight_decay": 0.1, "regularization_type": "L1"},
    ],
)
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(RMSProp(base_lr=0.01, **keys))
