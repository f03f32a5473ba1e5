"""Clip: by hand, with the gradient on both bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.clip import Clip
from dltrain.testing import check_layer


@pytest.mark.parametrize(("keys", "x", "y", "dx"), [
    ({"min": -1.0, "max": 2.0}, [-3, -1, 0, 2, 2.5], [-1, -1, 0, 2, 2], [0, 10, 10, 10, 0]),
])  # fmt: skip
def test_values_and_gradient(keys: Any, x: list[float], y: list[float], dx: list[float], run: Any) -> None:
    made = run(Clip(**keys), np.array([x], float), dy=np.full((1, len(x)), 10.0))
    np.testing.assert_allclose(made.y, [y], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(made.dx, [dx], rtol=1e-12, atol=1e-15)


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(Clip(min=0.0, max=1.0), np.array([[np.nan]])).y).all()


@pytest.mark.parametrize("keys", [{"min": -0.5, "max": 0.3}, {"min": -9.0, "max": 9.0}])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Clip(**keys), shape)


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"min": 1.0, "max": 1.0}, "min", "1 must be smaller than max 1"),
    ({"min": 2.0, "max": -1.0}, "min", "2 must be smaller than max -1"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Clip(**keys), [(2, 3)], key, words)


def test_both_bounds_are_asked_for() -> None:
    with pytest.raises(TypeError, match="max"):
        Clip(min=0.0)  # type: ignore[call-arg]
