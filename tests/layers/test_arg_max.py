"""ArgMax: places and values of the largest, over a sample or an axis, with ties as Caffe decides them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.arg_max import ArgMax
from dltrain.tensor import Shape
from dltrain.testing import check_shapes

X = np.array([[1.0, 5, 3], [4, 2, 4]])


@pytest.mark.parametrize(("keys", "y"), [
    ({}, [[[1]], [[2]]]),  # 4 stands at 0 and 2: the larger place wins
    ({"top_k": 2}, [[[1, 2]], [[2, 0]]]),
    ({"top_k": 3}, [[[1, 2, 0]], [[2, 0, 1]]]),
    ({"out_max_val": True}, [[[1], [5]], [[2], [4]]]),
    ({"top_k": 2, "out_max_val": True}, [[[1, 2], [5, 3]], [[2, 0], [4, 4]]]),
    ({"axis": 1}, [[1], [2]]),
    ({"axis": -1, "top_k": 2}, [[1, 2], [2, 0]]),
    ({"axis": 1, "top_k": 2, "out_max_val": True}, [[5, 3], [4, 4]]),
    ({"axis": 0}, [[1, 0, 1]]),
])  # fmt: skip
def test_by_hand(keys: Any, y: Any, run: Any) -> None:
    made = run(ArgMax(**keys), X)
    np.testing.assert_array_equal(made.y, y)
    assert made.trial.promised[0].dtype == ("float" if keys.get("out_max_val") else "index")
    assert made.dx is None


@pytest.mark.parametrize(("keys", "top"), [
    ({}, (2, 1, 1)), ({"top_k": 12}, (2, 1, 12)), ({"axis": 1}, (2, 1, 4)), ({"axis": 1, "top_k": 3}, (2, 3, 4)),
    ({"axis": 2, "top_k": 4}, (2, 3, 4)), ({"out_max_val": True, "top_k": 5}, (2, 2, 5)),
])  # fmt: skip
def test_shapes(keys: Any, top: tuple[int, ...], run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    assert run(ArgMax(**keys), x).y.shape == top
    check_shapes(ArgMax(**keys), (2, 3, 4))


def test_the_places_of_many_ties_go_down(run: Any) -> None:
    np.testing.assert_array_equal(run(ArgMax(top_k=5), np.ones((1, 7))).y, [[[6, 5, 4, 3, 2]]])


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"axis": 3}, "axis", "3 is not an axis of 2 x 3 x 4"),
    ({"axis": -4}, "axis", "-4 is not an axis of 2 x 3 x 4"),
    ({"top_k": 13}, "top_k", "13 is more than the 12 there are"),
    ({"top_k": 4, "axis": 1}, "top_k", "4 is more than the 3 there are"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(ArgMax(**keys), [Shape((2, 3, 4))], key, words)
