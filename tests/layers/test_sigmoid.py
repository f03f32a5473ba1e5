"""Sigmoid: known values, and no overflow far out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.sigmoid import Sigmoid
from dltrain.testing import check_layer


def test_values_and_gradient(run: Any) -> None:
    made = run(Sigmoid(), np.array([[0, np.log(3), -np.log(4), 1e4, -1e4]]), dy=np.full((1, 5), 16.0))
    np.testing.assert_allclose(made.y, [[0.5, 0.75, 0.2, 1, 0]], rtol=1e-14)
    np.testing.assert_allclose(made.dx, [[4, 3, 2.56, 0, 0]], rtol=1e-13)


def test_x_and_minus_x_sum_to_one(run: Any) -> None:
    x = np.linspace(-8, 8, 33)[None]
    np.testing.assert_allclose(run(Sigmoid(), x).y + run(Sigmoid(), -x).y, np.ones((1, 33)), rtol=1e-15)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 5)])
def test_sits_the_exam(shape: tuple[int, ...]) -> None:
    check_layer(Sigmoid(), shape)
