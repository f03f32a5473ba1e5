"""Concat: any number of blobs, any axis, and the gradient cut back into pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.errors import Refusal
from dltrain.layers.concat import Concat
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

CASES = [
    (1, [(2, 3, 4, 5), (2, 1, 4, 5), (2, 2, 4, 5)], (2, 6, 4, 5)),
    (0, [(2, 3), (1, 3)], (3, 3)),
    (-1, [(2, 3, 4), (2, 3, 1)], (2, 3, 5)),
    (-2, [(2, 3, 4), (2, 5, 4)], (2, 8, 4)),
    (1, [(1, 3, 2), (1, 2, 2)], (1, 5, 2)),
    (1, [(2, 3)], (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("axis", "shapes", "expected"), CASES)
def test_values_and_gradients(axis: int, shapes: Any, expected: tuple[int, ...], run: Any) -> None:
    rng = np.random.default_rng(0)
    xs, dy = [rng.standard_normal(shape) for shape in shapes], rng.standard_normal(expected)
    made = run(Concat(axis=axis), *xs, dy=dy)
    assert made.trial.promised == [expected]
    np.testing.assert_array_equal(made.y, np.concatenate(xs, axis))
    np.testing.assert_array_equal(np.concatenate(made.dxs, axis), dy)
    assert [dx.shape for dx in made.dxs] == shapes


def test_by_hand(run: Any) -> None:
    made = run(Concat(), np.array([[1.0, 2], [3, 4]]), np.array([[5.0], [6]]), dy=[[10, 20, 30], [40, 50, 60]])
    np.testing.assert_array_equal(made.y, [[1, 2, 5], [3, 4, 6]])
    np.testing.assert_array_equal(made.dxs[0], [[10, 20], [40, 50]])
    np.testing.assert_array_equal(made.dxs[1], [[30], [60]])


def test_integers_stay_integers(run: Any) -> None:
    made = run(Concat(), np.array([[1, 2]]), np.array([[3]]))
    assert made.trial.promised[0].dtype == "index"
    np.testing.assert_array_equal(made.y, [[1, 2, 3]])


@pytest.mark.parametrize(("axis", "shapes", "expected"), CASES)
def test_sits_the_exam(axis: int, shapes: Any, expected: tuple[int, ...]) -> None:
    check_layer(Concat(axis=axis), *shapes)


@pytest.mark.parametrize(("axis", "shapes", "key", "words"), [
    (2, [(2, 3), (2, 3)], "axis", "2 is not an axis of 2 x 3"),
    (-3, [(2, 3)], "axis", "-3 is not an axis of 2 x 3"),
    (1, [(2, 3, 4), (2, 3, 5)], "bottom", "sizes differ outside axis 1: 2 x 3 x 4 and 2 x 3 x 5"),
    (-1, [(2, 3, 4), (3, 3, 4)], "bottom", "sizes differ outside axis 2: 2 x 3 x 4 and 3 x 3 x 4"),
    (1, [(2, 3, 4), (2, 3)], "bottom", "sizes differ outside axis 1: 2 x 3 x 4 and 2 x 3"),
])  # fmt: skip
def test_refuses(axis: int, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Concat(axis=axis), shapes, key, words)


def test_refuses_to_cut_real_numbers_down_to_integers() -> None:
    with pytest.raises(Refusal) as caught:
        Trial(Concat(), [Shape((2, 1), "index"), Shape((2, 1))])
    assert caught.value.key == "bottom"


@settings(max_examples=30, deadline=None)
@given(some.lists(some.integers(1, 4), min_size=1, max_size=4), some.lists(some.integers(1, 3), min_size=1), some.data())
def test_any_shapes_make_what_numpy_makes(shape: list[int], widths: list[int], data: Any) -> None:
    axis = data.draw(some.integers(-len(shape), len(shape) - 1))
    shapes = [Shape((*shape[: axis % len(shape)], width, *shape[axis % len(shape) + 1 :])) for width in widths]
    trial, xs = Trial(Concat(axis=axis), shapes), [np.random.default_rng(0).random(each) for each in shapes]
    expected = np.concatenate(xs, axis)
    assert trial.promised == [expected.shape]
    np.testing.assert_array_equal(trial.run(xs, [expected], {})[0][0], expected)
