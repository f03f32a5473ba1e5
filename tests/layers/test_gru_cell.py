"""GRUCell: one step, the same as a GRU over a sequence of one, with the same parameters."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.gru import GRU
from dltrain.layers.gru_cell import GRUCell
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

N, D, H = 3, 4, 5
RNG = np.random.default_rng(0)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_by_hand() -> None:
    """Both gates are half open."""
    params = {"weight_x": [[0.0], [0], [1]], "bias": [0, 0, 0], "weight_h": [[0.0], [0], [2]], "bias_h": [3]}
    for reset, felt in (("after", 0.5 * (2 * 4 + 3)), ("before", 2 * (0.5 * 4))):
        tops, _, _ = Trial(GRUCell(num_output=1, reset=reset), [Shape((1, 1))] * 2).run([[[0.5]], [[4.0]]], [[[1.0]]], params)
        same(tops[0], [[0.5 * 4 + 0.5 * tanh(0.5 + felt)]])


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}, {"reset": "before"}])
def test_is_a_sequence_of_one_step(keys: Any) -> None:
    x, h, dy = RNG.standard_normal((N, D)), *RNG.standard_normal((2, N, H))
    cell = Trial(GRUCell(num_output=H, **keys), [Shape((N, D)), Shape((N, H))])
    cont, static = np.ones((N, 1)), np.zeros((N, 1))
    whole = Trial(GRU(num_output=H, **keys), [Shape(s) for s in ((N, 1, D), (N, 1), (N, 1), (N, H))])
    params = {part.role: RNG.standard_normal(part.shape) for part in whole.store.segments.values()}
    one, ones, few = cell.run([x, h], [dy], params)
    all_, alls, many = whole.run([x[:, None], cont, static, h], [dy[:, None], np.zeros((N, H))], params)
    same(one[0], all_[1])
    same(ones[0], alls[0][:, 0])
    same(ones[1], alls[3])
    for role, grad in few.items():
        same(grad, many[role])


@pytest.mark.parametrize(("shapes", "words"), [
    ([(3, 4), (3, 4)], "h must be 3 x 5, as num_output says, not 3 x 4"),
    ([(3, 4), (2, 5)], "h must be 3 x 5, as num_output says, not 2 x 5"),
    ([Shape((3, 4), "index"), (3, 5)], "needs real numbers, not the integers of 3 x 4"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(GRUCell(num_output=5), shapes, "bottom", words)


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}, {"reset": "before"}])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (3,), (2, 3, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(GRUCell(num_output=3, **keys), shape, (shape[0], 3))
