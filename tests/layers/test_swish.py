"""Swish: by hand, and with other slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.swish import Swish
from dltrain.testing import check_layer

LOG3 = np.log(3)


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [0, LOG3, -LOG3], [0, 0.75 * LOG3, -0.25 * LOG3], [5, 7.5 + 1.875 * LOG3, 2.5 - 1.875 * LOG3]),
    ({"beta": 2.0}, [0, LOG3 / 2, 1000], [0, 0.375 * LOG3, 1000], [5, 7.5 + 1.875 * LOG3, 10]),
    ({"beta": 0.0}, [-4, 6], [-2, 3], [5, 5]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(Swish(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(Swish(), np.array([[np.nan]])).y).all()


@pytest.mark.parametrize("keys", [{}, {"beta": 2.0}, {"beta": -0.5}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Swish(**keys), shape)
