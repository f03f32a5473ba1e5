"""ExactGELU: x Phi(x) on both sides of where its two polynomials meet, far below 0 too, and its own slope."""

from __future__ import annotations

from math import erfc, exp, pi, sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.layers.exact_gelu import ExactGELU
from dltrain.testing import check_gradient, check_layer


def phi(x: float) -> float:
    return erfc(-x / sqrt(2)) / 2


def test_values_and_gradient(run: Any) -> None:
    x = [0.0, 1.0, -1.0, 2.0, 100.0, -100.0]
    made = run(ExactGELU(), np.array([x]), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y[0], [0, 0.8413447461, -0.1586552539, 1.9544997361, 100, 0], atol=5e-9)
    slope = [phi(value) + value * exp(-value * value / 2) / sqrt(2 * pi) for value in x]
    np.testing.assert_allclose(made.dx[0], [10 * value for value in slope], rtol=1e-7, atol=1e-15)


def test_is_x_phi_to_seven_digits_even_where_it_is_tiny(run: Any) -> None:
    x = np.concatenate([np.linspace(-12, 12, 2401), -np.sqrt(2) * np.array([np.nextafter(1, 0), 1, np.nextafter(1, 2)])])
    np.testing.assert_allclose(run(ExactGELU(), x[None]).y[0], [value * phi(value) for value in x], rtol=3e-7, atol=0)


def test_infinity_stays_and_a_nan_stays_a_nan(run: Any) -> None:
    np.testing.assert_array_equal(run(ExactGELU(), np.array([[np.inf, np.nan]])).y, [[np.inf, np.nan]])


def test_in_all_four_pieces() -> None:
    check_gradient(ExactGELU(), (4, 6), xs=[np.linspace(-4.1, 4.2, 24).reshape(4, 6)])


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...]) -> None:
    check_layer(ExactGELU(), shape)
