"""Where: one of two, and the gradient goes where the value came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.where import Where
from dltrain.testing import check_layer

C, A, B = np.array([[1.0, 0, -2, 0]]), np.array([[1.0, 2, 3, 4]]), np.array([[5.0, 6, 7, 8]])


def test_values_and_gradients(run: Any) -> None:
    made = run(Where(), C, A, B, dy=np.array([[1.0, 2, 3, 4]]))
    np.testing.assert_array_equal(made.y, [[1, 6, 3, 8]])
    np.testing.assert_array_equal(made.dxs[1], [[1, 0, 3, 0]])
    np.testing.assert_array_equal(made.dxs[2], [[0, 2, 0, 4]])


def test_a_number_goes_with_any_shape_and_gathers_its_gradient(run: Any) -> None:
    made = run(Where(), C, A, np.array([-1.0]), dy=np.array([[1.0, 2, 3, 4]]))
    np.testing.assert_array_equal(made.y, [[1, -1, 3, -1]])
    np.testing.assert_array_equal(made.dxs[1], [[1, 0, 3, 0]])
    np.testing.assert_array_equal(made.dxs[2], [6])


def test_what_is_not_chosen_may_be_anything(run: Any) -> None:
    made = run(Where(), C, np.array([[1.0, np.nan, 3, np.inf]]), np.array([[np.nan, 6, -np.inf, 8]]))
    np.testing.assert_array_equal(made.y, [[1, 6, 3, 8]])
    assert all(np.isfinite(dx).all() for dx in made.dxs[1:])


def test_a_choice_by_a_nan_is_the_first(run: Any) -> None:
    np.testing.assert_array_equal(run(Where(), np.array([[np.nan]]), np.array([[1.0]]), np.array([[2.0]])).y, [[1]])


def test_other_shapes_are_refused(refuses: Any) -> None:
    refuses(Where(), [(2, 3), (2, 3), (2, 1)], "bottom", "2 x 1 is neither as large as what chooses, 2 x 3, nor a single number")


@pytest.mark.parametrize("shapes", [[(2, 3)] * 3, [(2, 3, 4), (1,), (2, 3, 4)], [(2, 3), (2, 3), (1,)]])
def test_sits_the_exam(shapes: Any) -> None:
    check_layer(Where(), *shapes)
