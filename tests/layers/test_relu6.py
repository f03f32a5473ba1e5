"""ReLU6: by hand, with no gradient on the bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.relu6 import ReLU6
from dltrain.testing import check_gradient, check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [-1, 0, 2, 6, 7], [0, 0, 2, 6, 6], [0, 0, 10, 0, 0]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(ReLU6(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(ReLU6(), np.array([[np.nan]])).y).all()


def test_the_gradient_on_both_sides_of_six() -> None:
    check_gradient(ReLU6(), (4, 6), xs=[np.linspace(-3.1, 9.2, 24).reshape(4, 6)])


@pytest.mark.parametrize("keys", [{}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(ReLU6(**keys), shape)
