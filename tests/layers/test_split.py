"""Split: copies, and the sum of their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from dltrain.layers.split import Split
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer


@pytest.mark.parametrize("tops", [1, 2, 4])
def test_values_and_gradients(tops: int) -> None:
    x = np.array([[1.0, -2.0]])
    made, dxs, _ = Trial(Split(tops=tops), [Shape(x.shape)]).run([x], [number + x for number in range(tops)], {})
    assert len(made) == tops
    for top in made:
        np.testing.assert_array_equal(top, x)
    np.testing.assert_array_equal(dxs[0], tops * x + sum(range(tops)))


def test_integers_stay_integers() -> None:
    assert {shape.dtype for shape in Trial(Split(), [Shape((3,), "index")]).promised} == {"index"}


def test_nothing_is_copied() -> None:
    assert [call.way for call in Trial(Split(tops=3), [Shape((2, 3))]).plan.calls] == ["backward"]


def test_its_tops_are_numbered() -> None:
    assert Split(tops=3).top_roles(1) == ("1", "2")


@pytest.mark.parametrize("tops", [1, 2, 3])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5)])
def test_sits_the_exam(shape: tuple[int, ...], tops: int) -> None:
    check_layer(Split(tops=tops), shape)
