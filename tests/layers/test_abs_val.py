"""AbsVal: by hand, and no gradient at 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.abs_val import AbsVal
from dltrain.tensor import Shape
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [-2, -0.5, 0, 3], [2, 0.5, 0, 3], [-10, -10, 0, 10]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(AbsVal(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(AbsVal(), np.array([[np.nan]])).y).all()


def test_refuses_integers(refuses: Any) -> None:
    refuses(AbsVal(), [Shape((3,), "index")], "bottom", "needs real numbers, not the integers of 3")


@pytest.mark.parametrize("keys", [{}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(AbsVal(**keys), shape)
