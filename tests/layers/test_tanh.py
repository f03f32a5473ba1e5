"""TanH: known values, and no overflow far out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.tanh import TanH
from dltrain.testing import check_layer


def test_values_and_gradient(run: Any) -> None:
    made = run(TanH(), np.array([[0, np.log(2), -np.log(3), 1e4, -1e4]]), dy=np.full((1, 5), 100.0))
    np.testing.assert_allclose(made.y, [[0, 0.6, -0.8, 1, -1]], rtol=1e-14)
    np.testing.assert_allclose(made.dx, [[100, 64, 36, 0, 0]], rtol=1e-13)


def test_is_odd(run: Any) -> None:
    x = np.linspace(-5, 5, 41)[None]
    np.testing.assert_array_equal(run(TanH(), x).y, -run(TanH(), -x).y)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 5)])
def test_sits_the_exam(shape: tuple[int, ...]) -> None:
    check_layer(TanH(), shape)
