"""BNLL: by hand, and neither overflow nor loss of what is small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.bnll import BNLL
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [0, np.log(3), -np.log(3)], [np.log(2), np.log(4), np.log(4 / 3)], [5, 7.5, 2.5]),
    ({}, [1000, -1000, 60], [1000, 0, 60], [10, 0, 10]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(BNLL(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(BNLL(), np.array([[np.nan]])).y).all()


def test_far_below_zero_the_gradient_is_small_but_right(run: Any) -> None:
    made = run(BNLL(), np.array([[-30.0]]), dtype=np.float32)
    np.testing.assert_allclose(made.dx, np.exp(-30.0), rtol=1e-5)


@pytest.mark.parametrize("keys", [{}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(BNLL(**keys), shape)
