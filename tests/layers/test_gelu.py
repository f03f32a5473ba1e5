"""GELU: near x Phi(x), and its own slope."""

from __future__ import annotations

from math import erf, pi, sqrt, tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.gelu import GELU
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [0, 100, -100], [0, 100, 0], [5, 10, 0]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(GELU(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_is_near_the_form_with_erf(run: Any) -> None:
    x = np.linspace(-6, 6, 241)
    exact = [value / 2 * (1 + erf(value / sqrt(2))) for value in x]
    np.testing.assert_allclose(run(GELU(), x[None]).y[0], exact, atol=5e-4)


def test_one_value_by_hand(run: Any) -> None:
    u = sqrt(2 / pi) * 1.044715
    np.testing.assert_allclose(run(GELU(), np.array([[1.0, -1.0]])).y, [[0.5 + 0.5 * tanh(u), -0.5 + 0.5 * tanh(u)]], rtol=1e-12)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(GELU(), np.array([[np.nan]])).y).all()


@pytest.mark.parametrize("keys", [{}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(GELU(**keys), shape)
