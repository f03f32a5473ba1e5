"""MatMul: products of matrices, many at once, transposed or not, and one that serves all."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from dltrain.layers.matmul import MatMul
from dltrain.tensor import Shape
from dltrain.testing import check_layer

FLAGS = list(product((False, True), repeat=2))
LEADS = [((), ()), ((2,), (2,)), ((2, 3), (2, 3)), ((2,), ()), ((), (2,)), ((2, 3), ())]


def shapes(leads: Any, flags: Any) -> list[tuple[int, ...]]:
    """(..., 4, 5) and (..., 5, 3), turned where transposed."""
    return [(*lead, *(size[::-1] if flag else size)) for lead, size, flag in zip(leads, [(4, 5), (5, 3)], flags, strict=True)]


def test_by_hand(run: Any) -> None:
    a, b = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 0, 2], [0, 1, 1]])
    made = run(MatMul(), a, b, dy=[[1, 0, 0], [0, 0, 2]])
    np.testing.assert_array_equal(made.y, [[1, 2, 4], [3, 4, 10]])
    np.testing.assert_array_equal(made.dxs[0], [[1, 0], [4, 2]])
    np.testing.assert_array_equal(made.dxs[1], [[1, 0, 6], [2, 0, 8]])


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("leads", LEADS)
def test_any_shapes_make_what_numpy_makes(leads: Any, flags: Any, run: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape) for shape in shapes(leads, flags))
    expected = (a.swapaxes(-1, -2) if flags[0] else a) @ (b.swapaxes(-1, -2) if flags[1] else b)
    made = run(MatMul(transpose_a=flags[0], transpose_b=flags[1]), a, b, dy=expected)
    assert made.trial.promised == [expected.shape]
    np.testing.assert_allclose(made.y, expected, rtol=1e-13)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("leads", LEADS)
def test_sits_the_exam(leads: Any, flags: Any) -> None:
    check_layer(MatMul(transpose_a=flags[0], transpose_b=flags[1]), *shapes(leads, flags))


@pytest.mark.parametrize(("keys", "a", "b", "words"), [
    ({}, (2, 3), (2, 3), "2 x 3 and 2 x 3: the matrices do not fit, 2 x 3 times 2 x 3"),
    ({"transpose_a": True}, (2, 3), (3, 4), "2 x 3 and 3 x 4: the matrices do not fit, 3 x 2 times 3 x 4"),
    ({}, (2, 3, 4), (3, 4, 5), "2 x 3 x 4 and 3 x 4 x 5 differ before the last two axes"),
    ({}, (2, 3, 4, 5), (2, 5, 5), "2 x 3 x 4 x 5 and 2 x 5 x 5 differ before the last two axes"),
    ({}, (3,), (3, 4), "needs matrices, two axes or more, not 3 and 3 x 4"),
    ({}, (3, 4), Shape((4, 2), "index"), "needs real numbers"),
])  # fmt: skip
def test_refuses(keys: Any, a: Any, b: Any, words: str, refuses: Any) -> None:
    refuses(MatMul(**keys), [a, b], "bottom", words)
