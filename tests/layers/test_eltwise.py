"""Eltwise: sums, products, maxima and more of several blobs, with ties as Caffe decides them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.layers.eltwise import Eltwise
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_gradient, check_layer

XS = [np.array([[1.0, 2, -3]]), np.array([[4.0, 0, 5]]), np.array([[-1.0, 7, 2]])]


@pytest.mark.parametrize(("keys", "y", "dxs"), [
    ({}, [4, 9, 4], [[1, 1, 1]] * 3),
    ({"coeff": (2.0, -1.0, 0.5)}, [-2.5, 7.5, -10], [[2, 2, 2], [-1, -1, -1], [0.5, 0.5, 0.5]]),
    ({"operation": "prod"}, [-4, 0, -30], [[-4, 0, 10], [-1, 14, -6], [4, 0, -15]]),
    ({"operation": "max"}, [4, 7, 5], [[0, 0, 0], [1, 0, 1], [0, 1, 0]]),
    ({"operation": "min"}, [-1, 0, -3], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    ({"operation": "sub"}, [-2, -5, -10], [[1, 1, 1], [-1, -1, -1], [-1, -1, -1]]),
])  # fmt: skip
def test_values_and_gradients(keys: Any, y: list[float], dxs: Any, run: Any) -> None:
    made = run(Eltwise(**keys), *XS)
    np.testing.assert_array_equal(made.y, [y])
    np.testing.assert_array_equal(np.concatenate(made.dxs), dxs)


@pytest.mark.parametrize(("values", "winner"), [
    ((1, 1), 1),  # between the first two the second wins
    ((2, 1), 0),
    ((1, 1, 1), 1),  # later ones must be greater
    ((2, 1, 2), 0),
    ((1, 2, 2, 2), 1),
    ((1, 1, 3, 3), 2),
])  # fmt: skip
def test_one_winner_takes_the_gradient_of_a_tie(values: tuple[float, ...], winner: int, run: Any) -> None:
    made = run(Eltwise(operation="max"), *(np.array([float(value)]) for value in values), dy=[5])
    assert made.y == max(values)
    assert [float(dx[0]) for dx in made.dxs] == [5.0 * (place == winner) for place in range(len(values))]


@pytest.mark.parametrize(("values", "winner"), [((1, 1), 1), ((1, 2), 0), ((1, 1, 1), 1), ((1, 2, 1), 0), ((2, 1, 1, 0), 3)])
def test_a_tie_of_minima_goes_as_one_of_maxima(values: tuple[float, ...], winner: int, run: Any) -> None:
    made = run(Eltwise(operation="min"), *(np.array([float(value)]) for value in values))
    assert made.y == min(values)
    assert [float(dx[0]) for dx in made.dxs] == [float(place == winner) for place in range(len(values))]


def test_a_quotient(run: Any) -> None:
    made = run(Eltwise(operation="div"), np.array([[6.0, 1, 0]]), np.array([[2.0, -4, 5]]))
    np.testing.assert_array_equal(made.y, [[3, -0.25, 0]])
    np.testing.assert_array_equal(np.concatenate(made.dxs), [[0.5, -0.25, 0.2], [-1.5, -0.0625, 0]])


WIDE: list[list[tuple[int, ...]]] = [
    [(2, 3), (1, 3)], [(2, 1), (2, 3)], [(2, 1, 4), (1, 3, 1)], [(2, 3, 4, 5), (2, 3, 1, 1)], [(1,), (2, 3)],
    [(2, 3, 4), (1, 1, 1)],
]  # fmt: skip


@pytest.mark.parametrize("operation", ["sum", "prod", "max", "min", "sub", "div"])
@pytest.mark.parametrize("shapes", WIDE)
def test_axes_of_size_1_are_repeated(shapes: Any, operation: Any, run: Any) -> None:
    xs = [np.random.default_rng(number).uniform(1, 2, shape) for number, shape in enumerate(shapes)]
    function = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum, "sub": np.subtract, "div": np.divide}
    made = run(Eltwise(operation=operation), *xs)
    np.testing.assert_allclose(made.y, function[operation](*xs), rtol=1e-14)
    assert [dx.shape for dx in made.dxs] == shapes
    if operation in ("max", "min"):
        assert sum(dx.sum() for dx in made.dxs) == made.y.size
    check_gradient(Eltwise(operation=operation), *shapes, xs=xs)


def test_three_shapes_meet(run: Any) -> None:
    made = run(Eltwise(), np.ones((2, 1, 1)), np.ones((1, 3, 1)), np.ones((1, 1, 4)))
    np.testing.assert_array_equal(made.y, np.full((2, 3, 4), 3))
    assert [float(dx.reshape(-1)[0]) for dx in made.dxs] == [12, 8, 6]


@pytest.mark.parametrize(("values", "dxs"), [
    ((0, 3, 4), (12, 0, 0)),  # not y / x
    ((0, 0, 4), (0, 0, 0)),
    ((2, 3, 4), (12, 8, 6)),
])  # fmt: skip
def test_a_product_with_zeros_has_the_right_gradient(values: tuple[float, ...], dxs: tuple[float, ...], run: Any) -> None:
    made = run(Eltwise(operation="prod"), *(np.array([float(value)]) for value in values))
    assert tuple(float(dx[0]) for dx in made.dxs) == dxs


@pytest.mark.parametrize("keys", [{}, {"coeff": (0.5, -2.0)}, {"operation": "prod"}, {"operation": "max"}])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 4, 2)])
def test_sits_the_exam_with_two_bottoms(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Eltwise(**keys), shape, shape)


@pytest.mark.parametrize("keys", [{}, {"coeff": (1.0, 0.0, 3.0, 1.0)}, {"operation": "prod"}, {"operation": "max"}])
def test_sits_the_exam_with_four_bottoms(keys: Any) -> None:
    check_layer(Eltwise(**keys), *[(3, 5)] * 4)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({}, [(2, 3)], "bottom", "needs two bottoms or more"),
    ({}, [(2, 3), (2, 3), (3, 2)], "bottom", "shapes differ: 2 x 3 and 3 x 2"),
    ({}, [(1, 3), (2, 3), (2, 4)], "bottom", "shapes differ: 2 x 3 and 2 x 4; sizes must be equal, or 1"),
    ({"operation": "div"}, [(2, 3)] * 3, "bottom", "div takes two bottoms, not 3"),
    ({"operation": "sub", "coeff": (1.0, 2.0)}, [(2, 3), (2, 3)], "coeff", "belongs to operation sum, not sub"),
    ({}, [(2, 3), (2, 3, 1)], "bottom", "shapes differ: 2 x 3 and 2 x 3 x 1"),
    ({"operation": "max", "coeff": (1.0, 2.0)}, [(2, 3), (2, 3)], "coeff", "belongs to operation sum, not max"),
    ({"operation": "prod", "coeff": (1.0, 2.0)}, [(2, 3), (2, 3)], "coeff", "belongs to operation sum, not prod"),
    ({"coeff": (1.0, 2.0, 3.0)}, [(2, 3), (2, 3)], "coeff", "needs one number for each of the 2 bottoms"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Eltwise(**keys), shapes, key, words)


@settings(max_examples=30, deadline=None)
@given(some.lists(some.integers(1, 4), min_size=1, max_size=4), some.integers(2, 4), some.sampled_from(["sum", "prod", "max"]))
def test_any_shapes_make_what_numpy_makes(shape: list[int], bottoms: int, operation: Any) -> None:
    trial = Trial(Eltwise(operation=operation), [Shape(shape)] * bottoms)
    xs = np.random.default_rng(0).standard_normal((bottoms, *shape))
    expected = {"sum": np.add, "prod": np.multiply, "max": np.maximum}[operation].reduce(xs)
    assert trial.promised == [expected.shape]
    np.testing.assert_allclose(trial.run(list(xs), [expected], {})[0][0], expected, rtol=1e-14)
