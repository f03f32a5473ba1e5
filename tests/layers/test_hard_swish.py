"""HardSwish: the three pieces and where they meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.hard_swish import HardSwish
from dltrain.testing import check_gradient, check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [-5, -3, -1, 0, 1, 3, 5], [0, 0, -1 / 3, 0, 2 / 3, 3, 5], [0, 0, 10 / 6, 5, 50 / 6, 15, 10]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(HardSwish(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(HardSwish(), np.array([[np.nan]])).y).all()


def test_in_all_three_pieces() -> None:
    check_gradient(HardSwish(), (4, 6), xs=[np.linspace(-6.1, 6.2, 24).reshape(4, 6)])


@pytest.mark.parametrize("keys", [{}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(HardSwish(**keys), shape)
