"""Threshold: 1 above, 0 at the value itself and below, and no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.threshold import Threshold
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer


@pytest.mark.parametrize(
    ("threshold", "y"), [(0.0, [0, 0, 1, 1]), (0.5, [0, 0, 0, 1]), (-2.0, [0, 1, 1, 1]), (9.0, [0, 0, 0, 0])]
)
def test_values(threshold: float, y: list[float], run: Any) -> None:
    np.testing.assert_array_equal(run(Threshold(threshold=threshold), np.array([[-2.0, 0, 0.5, 3]])).y, [y])


def test_its_bottom_gets_no_gradient() -> None:
    trial = Trial(Threshold(), [Shape((2, 3))])
    assert trial.bottoms[0].grad is None
    assert {call.way for call in trial.graph.calls} == {"forward"}


def test_sits_the_exam() -> None:
    check_layer(Threshold(), (2, 3, 4))
