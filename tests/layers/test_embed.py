"""Embed: rows of a table, their gradient where a row is used twice, and what is not in the table."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from dltrain.errors import DataError
from dltrain.layers.embed import Embed
from dltrain.layers.inner_product import InnerProduct
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

TABLE = np.array([[0.0, 1], [10, 11], [20, 21]])


def test_each_index_becomes_its_row(run: Any) -> None:
    made = run(Embed(num_output=2, input_dim=3), np.array([2, 0, 2]), params={"weight": TABLE, "bias": [100, 200]})
    np.testing.assert_array_equal(made.y, [[120, 221], [100, 201], [120, 221]])


def test_a_row_that_is_used_twice_gets_both_gradients(run: Any) -> None:
    dy = [[[1.0, 2], [3, 4]], [[5, 6], [70, 80]]]
    made = run(Embed(num_output=2, input_dim=3), np.array([[2, 0], [2, 2]]), params={"weight": TABLE, "bias": [0, 0]}, dy=dy)
    np.testing.assert_array_equal(made.grads["weight"], [[3, 4], [0, 0], [76, 88]])
    np.testing.assert_array_equal(made.grads["bias"], [79, 92])
    assert made.dx is None


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 1, 3), (3, 2, 2, 2)])
def test_is_an_inner_product_with_one_hot_vectors(shape: tuple[int, ...], run: Any) -> None:
    rng = np.random.default_rng(0)
    x, table, bias = rng.integers(0, 5, shape), rng.standard_normal((5, 3)), rng.standard_normal(3)
    dy = rng.standard_normal((*shape, 3))
    made = run(Embed(num_output=3, input_dim=5), x, params={"weight": table, "bias": bias}, dy=dy)
    params = {"weight": table.T, "bias": bias}
    dense = run(InnerProduct(num_output=3), np.eye(5)[x.reshape(-1)], params=params, dy=dy.reshape(-1, 3))
    np.testing.assert_allclose(made.y, dense.y.reshape(*shape, 3), atol=1e-14)
    np.testing.assert_allclose(made.grads["weight"], dense.grads["weight"].T, atol=1e-13)
    np.testing.assert_allclose(made.grads["bias"], dense.grads["bias"], atol=1e-13)


@pytest.mark.parametrize(("x", "words"), [
    ([[0, 1], [3, 0]], "layer 'it' (Embed): index 3 at [1, 0] of the batch is outside 0 .. 2; raise input_dim, or mend the data"),
    ([[0, -1], [7, 0]], "index -1 at [0, 1] of the batch is outside 0 .. 2"),
])  # fmt: skip
def test_an_index_that_is_not_in_the_table_is_told(x: Any, words: str, run: Any) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        run(Embed(num_output=2, input_dim=3), np.array(x), params={"weight": TABLE, "bias": [0, 0]})


def test_refuses_real_numbers(refuses: Any) -> None:
    refuses(Embed(num_output=2, input_dim=3), [(4, 2)], "bottom", "needs integers 0 .. 2, not the real numbers of 4 x 2")


@pytest.mark.parametrize(("keys", "expected"), [
    ({}, {"weight": (7, 5), "bias": (5,)}),
    ({"bias_term": False}, {"weight": (7, 5)}),
])  # fmt: skip
def test_the_shapes_of_its_parameters(keys: Any, expected: dict[str, Any]) -> None:
    trial = Trial(Embed(num_output=5, input_dim=7, **keys), [Shape((3, 2), "index")])
    assert {part.role: part.shape for part in trial.store.segments.values()} == expected
    assert trial.promised == [(3, 2, 5)]


def test_its_work_does_not_grow_with_the_table() -> None:
    for size in (10, 10_000):
        calls = Trial(Embed(num_output=8, input_dim=size), [Shape((4, 5), "index")]).graph.calls
        assert {call.op.name: call.op.flops(call.args) for call in calls} == {"embed": 160, "embed_dw": 160}


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}])
@pytest.mark.parametrize("shape", [(4,), (1, 1), (2, 3), (2, 1, 3)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(Embed(num_output=3, input_dim=4, **keys), Shape(shape, "index"), classes=4)
