"""ReLU: by hand, with slopes of either sign, and at 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.relu import ReLU
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer


@pytest.mark.parametrize(("slope", "y", "dx"), [
    (0.0, [0, 0, 0, 3], [0, 0, 0, 10]),
    (0.25, [-0.5, -0.25, 0, 3], [2.5, 2.5, 2.5, 10]),
    (1.0, [-2, -1, 0, 3], [10, 10, 10, 10]),
    (2.0, [-4, -2, 0, 3], [20, 20, 20, 10]),
    (-1.0, [2, 1, 0, 3], [-10, -10, -10, 10]),
    (-0.5, [1, 0.5, 0, 3], [-5, -5, -5, 10]),
])  # fmt: skip
def test_values_and_gradient(slope: float, y: list[float], dx: list[float], run: Any) -> None:
    made = run(ReLU(negative_slope=slope), np.array([[-2.0, -1, 0, 3]]), dy=np.full((1, 4), 10.0))
    np.testing.assert_array_equal(made.y, [y])
    np.testing.assert_array_equal(made.dx, [dx])


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(ReLU(), np.array([[np.nan]])).y).all()


@pytest.mark.parametrize(("slope", "rising"), [(0.0, True), (0.1, True), (1.5, True), (-0.1, False)])
def test_it_may_change_places_with_a_maximum_only_where_it_never_falls(slope: float, rising: bool) -> None:
    (forward, _) = Trial(ReLU(negative_slope=slope), [Shape((2, 3))]).graph.calls
    assert forward.args["monotone"] is rising


@pytest.mark.parametrize("slope", [0.0, 0.1, 2.0, -0.7])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4, 5)])
def test_sits_the_exam(shape: tuple[int, ...], slope: float) -> None:
    check_layer(ReLU(negative_slope=slope), shape)
