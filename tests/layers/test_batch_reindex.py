"""BatchReindex: samples moved, doubled and left out, and gradients added where they came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.batch_reindex import BatchReindex
from dltrain.tensor import Shape
from dltrain.testing import check_layer

X = np.arange(6.0).reshape(3, 2)


def test_by_hand(run: Any) -> None:
    made = run(BatchReindex(), X, np.array([2, 0, 2, 2]), dy=[[1, 2], [3, 4], [10, 20], [100, 200]])
    np.testing.assert_array_equal(made.y, [[4, 5], [0, 1], [4, 5], [4, 5]])
    np.testing.assert_array_equal(made.dx, [[3, 4], [0, 0], [111, 222]])
    assert made.dxs[1] is None


@pytest.mark.parametrize("wrong", [3, 100, -2])
def test_an_index_that_is_no_sample_makes_nan(wrong: int, run: Any) -> None:
    made = run(BatchReindex(), X, np.array([1, wrong]))
    np.testing.assert_array_equal(made.y, [[2, 3], [np.nan, np.nan]])
    np.testing.assert_array_equal(made.dx, [[0, 0], [1, 1], [0, 0]])


def test_integers_stay_integers(run: Any) -> None:
    made = run(BatchReindex(), np.array([5, 6, 7]), np.array([2, 1]))
    assert made.trial.promised[0].dtype == "index"
    np.testing.assert_array_equal(made.y, [7, 6])


@pytest.mark.parametrize(("shape", "count"), [((3,), 5), ((3, 2), 1), ((4, 2, 3, 2), 4)])
def test_sits_the_exam(shape: Any, count: int) -> None:
    check_layer(BatchReindex(), shape, Shape((count,), "index"), classes=3)


@pytest.mark.parametrize("index", [Shape((2,)), Shape((2, 1), "index"), Shape((), "index")])
def test_refuses(index: Shape, refuses: Any) -> None:
    refuses(BatchReindex(), [(3, 2), index], "bottom", f"the index must be a list of integers, not {index} of {index.dtype}")
