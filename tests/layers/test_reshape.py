"""Reshape: copied and inferred sizes, a stretch of axes, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.reshape import Reshape
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

CASES: list[tuple[tuple[int, ...], dict[str, Any], tuple[int, ...]]] = [
    ((2, 3, 4, 5), {"shape": (0, 0, -1)}, (2, 3, 20)),
    ((2, 3, 4, 5), {"shape": (6, 2), "axis": 1, "num_axes": 2}, (2, 6, 2, 5)),
    ((2, 3, 4), {"shape": (2, 2), "axis": -2}, (2, 3, 2, 2)),
    ((2, 3, 4), {"shape": (-1,)}, (24,)),
    ((2, 3, 4), {"shape": (1,), "axis": -1}, (2, 3, 4, 1)),
    ((2, 3, 4), {"shape": (1, 1), "axis": 1, "num_axes": 0}, (2, 1, 1, 3, 4)),
    ((2, 3, 4), {"shape": (0, 12), "axis": 0}, (2, 12)),
    ((2, 8), {"shape": (2, -1, 2), "axis": 1}, (2, 2, 2, 2)),
    ((2, 3), {"shape": (2, 3)}, (2, 3)),
]


@pytest.mark.parametrize(("shape", "keys", "expected"), CASES)
def test_values_keep_their_order(shape: Any, keys: Any, expected: Any, run: Any) -> None:
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    made = run(Reshape(**keys), x, dy=-x.reshape(expected))
    assert made.trial.promised == [expected]
    np.testing.assert_array_equal(made.y, x.reshape(expected))
    np.testing.assert_array_equal(made.dx, -x)


def test_integers_stay_integers() -> None:
    assert Trial(Reshape(shape=(-1,)), [Shape((2, 3), "index")]).promised[0].dtype == "index"


def test_nothing_is_moved() -> None:
    assert Trial(Reshape(shape=(0, -1)), [Shape((2, 3, 4))]).plan.calls == []


@pytest.mark.parametrize(("shape", "keys", "expected"), CASES)
def test_sits_the_exam(shape: Any, keys: Any, expected: Any) -> None:
    check_layer(Reshape(**keys), shape)


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"shape": (2, 3), "axis": 4}, "axis", "4 must lie between -4 and 3 for a bottom of 2 x 3 x 4"),
    ({"shape": (2, 3), "axis": -5}, "axis", "-5 must lie between -4 and 3 for a bottom of 2 x 3 x 4"),
    ({"shape": (2, 3), "axis": 2, "num_axes": 2}, "num_axes", "2 axes from axis 2 on are more than 2 x 3 x 4 has"),
    ({"shape": (-1, -1)}, "shape", "has more than one -1; only one size can be inferred"),
    ({"shape": (0, 0, 0, 0)}, "shape", "has a 0 where 2 x 3 x 4 has no axis to copy; give the size"),
    ({"shape": (2, 0), "axis": 1, "num_axes": 1}, "shape", "has a 0 where 2 x 3 x 4 has no axis to copy; give the size"),
    ({"shape": (2, 3)}, "shape", "2 x 3 does not fit the 24 elements of 2 x 3 x 4"),
    ({"shape": (5, -1)}, "shape", "5 x -1 does not fit the 24 elements of 2 x 3 x 4"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Reshape(**keys), [(2, 3, 4)], key, words)
