"""Flatten: the order stays, the axes go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.layers.flatten import Flatten
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

CASES = [
    ((2, 3, 4, 5), {}, (2, 60)),
    ((2, 3, 4, 5), {"axis": 2}, (2, 3, 20)),
    ((2, 3, 4, 5), {"axis": 1, "end_axis": 2}, (2, 12, 5)),
    ((2, 3, 4, 5), {"axis": -3, "end_axis": -2}, (2, 12, 5)),
    ((2, 3, 4, 5), {"axis": 3}, (2, 3, 4, 5)),
    ((2, 3, 4, 5), {"axis": 2, "end_axis": 2}, (2, 3, 4, 5)),
    ((2, 7), {}, (2, 7)),
    ((2, 3, 4, 5), {"axis": 0, "end_axis": 1}, (6, 4, 5)),
    ((2, 3, 4), {"axis": 0}, (24,)),
    ((2, 3, 4), {"axis": -3, "end_axis": 1}, (6, 4)),
    ((3,), {"axis": 0}, (3,)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "keys", "expected"), CASES)
def test_values_keep_their_order(shape: tuple[int, ...], keys: Any, expected: tuple[int, ...], run: Any) -> None:
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    made = run(Flatten(**keys), x, dy=-x.reshape(expected))
    assert made.trial.promised == [expected]
    np.testing.assert_array_equal(made.y, x.reshape(expected))
    np.testing.assert_array_equal(made.dx, -x)


def test_integers_stay_integers(run: Any) -> None:
    made = run(Flatten(), np.arange(12).reshape(2, 3, 2))
    assert made.trial.promised[0].dtype == "index"
    np.testing.assert_array_equal(made.y, np.arange(12).reshape(2, 6))


def test_nothing_is_moved() -> None:
    assert Trial(Flatten(), [Shape((2, 3, 4, 5))]).plan.calls == []


@pytest.mark.parametrize(("shape", "keys", "expected"), CASES)
def test_sits_the_exam(shape: tuple[int, ...], keys: Any, expected: tuple[int, ...]) -> None:
    check_layer(Flatten(**keys), shape)


@pytest.mark.parametrize(("shape", "keys", "key", "words"), [
    ((2, 3, 4, 5), {"axis": 4}, "axis", "4 is not an axis of 2 x 3 x 4 x 5"),
    ((2, 3, 4, 5), {"axis": -5}, "axis", "-5 is not an axis of 2 x 3 x 4 x 5"),
    ((2,), {}, "axis", "1 is not an axis of 2"),
    ((2, 3, 4, 5), {"axis": 2, "end_axis": 1}, "end_axis", "1 must lie between axis 2 and 3"),
    ((2, 3, 4, 5), {"end_axis": 4}, "end_axis", "4 must lie between axis 1 and 3"),
    ((2, 3, 4, 5), {"axis": 2, "end_axis": -9}, "end_axis", "-9 must lie between axis 2 and 3"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Flatten(**keys), [shape], key, words)


@settings(max_examples=30, deadline=None)
@given(some.lists(some.integers(1, 4), min_size=2, max_size=5), some.data())
def test_any_shapes_make_what_numpy_makes(shape: list[int], data: Any) -> None:
    first = data.draw(some.integers(0, len(shape) - 1))
    last = data.draw(some.integers(first, len(shape) - 1))
    expected = np.random.default_rng(0).random((*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :]))
    trial = Trial(Flatten(axis=first, end_axis=last - len(shape)), [Shape(shape)])
    assert trial.promised == [expected.shape]
    np.testing.assert_array_equal(trial.run([expected.reshape(shape)], [expected], {})[0][0], expected)
