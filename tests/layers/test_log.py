"""Log: logarithms of several bases, scaled and shifted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.log import Log
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [1, np.e, 0.5], [0, 1, -np.log(2)], [10, 10 / np.e, 20]),
    ({"base": 2.0, "scale": 3.0, "shift": 1.0}, [0, 1, 5], [0, 2, 4], [30 / np.log(2), 7.5 / np.log(2), 1.875 / np.log(2)]),
    ({"base": 10.0}, [1000, 0.01], [3, -2], [0.01 / np.log(10), 1000 / np.log(10)]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(Log(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("keys", [{"shift": 4.0}, {"base": 2.0, "scale": -0.5, "shift": 3.0}, {"base": 0.5, "shift": 4.0}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Log(**keys), shape)


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"base": 0.0}, "base", "0 must be greater than 0 and not 1, or -1 for e"),
    ({"base": 1.0}, "base", "1 must be greater than 0 and not 1"),
    ({"base": -3.0}, "base", "-3 must be greater than 0 and not 1"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Log(**keys), [(2, 3)], key, words)
