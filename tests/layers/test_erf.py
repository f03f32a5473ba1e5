"""Erf: near the true one on both sides of where its two polynomials meet, and its own slope."""

from __future__ import annotations

from math import erf, exp, pi, sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.layers.erf import Erf
from dltrain.testing import check_gradient, check_layer


def test_values_and_gradient(run: Any) -> None:
    x = [0.0, 0.5, -0.5, 1.0, -2.0, 100.0, -100.0]
    made = run(Erf(), np.array([x]), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y[0], [0, 0.5204998778, -0.5204998778, 0.8427007929, -0.9953222650, 1, -1], atol=3e-9)
    np.testing.assert_allclose(made.dx[0], [20 / sqrt(pi) * exp(-value * value) for value in x], rtol=1e-12)


def test_is_near_the_true_one_everywhere(run: Any) -> None:
    x = np.concatenate([np.linspace(-7, 7, 2801), np.geomspace(1e-30, 1, 50), [np.nextafter(1, 0), 1, np.nextafter(1, 2)]])
    y = run(Erf(), x[None]).y[0]
    np.testing.assert_allclose(y, [erf(value) for value in x], rtol=1e-8, atol=0)


def test_infinity_is_one_and_a_nan_stays_a_nan(run: Any) -> None:
    np.testing.assert_array_equal(run(Erf(), np.array([[np.inf, -np.inf, np.nan]])).y, [[1, -1, np.nan]])


def test_in_all_four_pieces() -> None:
    check_gradient(Erf(), (4, 6), xs=[np.linspace(-3.1, 3.2, 24).reshape(4, 6)])


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...]) -> None:
    check_layer(Erf(), shape)
