"""PReLU: a slope for each channel or one for all, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.prelu import PReLU
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.array([[[-2.0, 3], [-4, 0]], [[1, -1], [5, -6]]])  # 2 samples, 2 channels, 2 places


def test_each_channel_has_its_slope(run: Any) -> None:
    made = run(PReLU(), X, params={"slope": [0.5, -1]}, dy=np.full(X.shape, 10.0))
    np.testing.assert_array_equal(made.y, [[[-1, 3], [4, 0]], [[1, -0.5], [5, 6]]])
    np.testing.assert_array_equal(made.dx, [[[5, 10], [-10, -10]], [[10, 5], [10, -10]]])
    np.testing.assert_array_equal(made.grads["slope"], [-30, -100])


def test_one_slope_for_all(run: Any) -> None:
    made = run(PReLU(channel_shared=True), X, params={"slope": 0.5})
    np.testing.assert_array_equal(made.y, np.where(X > 0, X, X / 2))
    np.testing.assert_array_equal(made.grads["slope"], -13)


def test_with_slope_0_it_is_a_relu(run: Any) -> None:
    np.testing.assert_array_equal(run(PReLU(), X, params={"slope": [0, 0]}).y, np.maximum(X, 0))


@pytest.mark.parametrize(("keys", "expected"), [({}, (4,)), ({"channel_shared": True}, ())])
def test_the_shape_of_its_slope(keys: Any, expected: tuple[int, ...]) -> None:
    (part,) = Trial(PReLU(**keys), [Shape((3, 4, 2))]).store.segments.values()
    assert (part.role, part.shape) == ("slope", expected)
    assert set(part.fill(1).flat) == {0.25}


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(PReLU(), np.array([[np.nan]]), params={"slope": [0.25]}).y).all()


@pytest.mark.parametrize("keys", [{}, {"channel_shared": True}])
@pytest.mark.parametrize("shape", [(4, 3), (2, 1), (2, 3, 4), (2, 3, 4, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(PReLU(**keys), shape)


def test_refuses_a_bottom_without_channels(refuses: Any) -> None:
    refuses(PReLU(), [(5,)], "", "needs a bottom with channels (N x C), not 5")
