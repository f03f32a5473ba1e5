"""ELU: by hand, and down to -alpha."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.elu import ELU
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [-np.log(2), 0, 3, -1000], [-0.5, 0, 3, -1], [5, 10, 10, 0]),
    ({"alpha": 2.0}, [-np.log(4), 0, 3], [-1.5, 0, 3], [5, 20, 10]),
    ({"alpha": 0.0}, [-1, 0, 1000], [0, 0, 1000], [0, 0, 10]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(ELU(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(ELU(), np.array([[np.nan]])).y).all()


@pytest.mark.parametrize("keys", [{}, {"alpha": 0.3}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(ELU(**keys), shape)
