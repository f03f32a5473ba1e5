"""SoftShrink: by hand, and 0 in the middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.soft_shrink import SoftShrink
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({"lambda_": 1.0}, [-3, -1, -0.5, 0, 0.5, 1, 4], [-2, 0, 0, 0, 0, 0, 3], [10, 0, 0, 0, 0, 0, 10]),
    ({}, [-0.75, 0.25, 2], [-0.25, 0, 1.5], [10, 0, 10]),
    ({"lambda_": 0.0}, [-3, 4], [-3, 4], [10, 10]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(SoftShrink(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(SoftShrink(), np.array([[np.nan]])).y).all()


@pytest.mark.parametrize("keys", [{}, {"lambda_": 0.1}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(SoftShrink(**keys), shape)
