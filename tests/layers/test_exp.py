"""Exp: powers of several bases, scaled and shifted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.exp import Exp
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({}, [0, np.log(2), -np.log(4)], [1, 2, 0.25], [10, 20, 2.5]),
    ({"base": 2.0, "scale": 3.0, "shift": 1.0}, [0, 1, -1], [2, 16, 0.25], [60 * np.log(2), 480 * np.log(2), 7.5 * np.log(2)]),
    ({"base": 1.0, "scale": 5.0}, [-7, 3], [1, 1], [0, 0]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(Exp(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("keys", "rising"), [({}, True), ({"scale": -1.0}, False), ({"base": 0.5}, False), ({"base": 0.5, "scale": -2.0}, True)]
)
def test_it_may_change_places_with_a_maximum_only_where_it_never_falls(keys: Any, rising: bool) -> None:
    (forward, _) = Trial(Exp(**keys), [Shape((2, 3))]).graph.calls
    assert forward.args["monotone"] is rising


@pytest.mark.parametrize("keys", [{}, {"base": 2.0, "scale": 3.0, "shift": 1.0}, {"base": 0.5}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Exp(**keys), shape)


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"base": 0.0}, "base", "0 must be greater than 0, or -1 for e"),
    ({"base": -2.0}, "base", "-2 must be greater than 0, or -1 for e"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Exp(**keys), [(2, 3)], key, words)
