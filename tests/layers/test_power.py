"""Power: by hand, with the powers that have ways of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.power import Power
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [-2, 0, 3], [-2, 0, 3], [10, 10, 10]),
    ({"scale": 2.0, "shift": 1.0}, [-2, 0, 3], [-3, 1, 7], [20, 20, 20]),
    ({"power": 0.0, "scale": 2.0, "shift": 4.0}, [-2, 0, 3], [1, 1, 1], [0, 0, 0]),
    ({"power": 2.0, "scale": 3.0, "shift": 1.0}, [-2, 0, 3], [25, 1, 100], [-300, 60, 600]),
    ({"power": 3.0, "scale": 2.0, "shift": 1.0}, [-2, -0.5, 1], [-27, 0, 27], [540, 0, 540]),
    ({"power": 0.5}, [4, 0.25], [2, 0.5], [2.5, 10]),
    ({"power": -1.0, "scale": -1.0, "shift": 1.0}, [0, 3, -1], [1, -0.5, 0.5], [10, 2.5, 2.5]),
    ({"power": 1.0, "scale": 0.0, "shift": 7.0}, [-2, 5], [7, 7], [0, 0]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(Power(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"power": 0.0},
        {"power": 2.0, "scale": 3.0, "shift": -1.0},
        {"power": 3.0},
        {"power": 0.5, "shift": 4.0},
        {"power": -2.0, "shift": 4.0},
    ],
)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Power(**keys), shape)
