"""RNN: its formula and the output beside the state.  What all recurrent layers promise is in tests/test_recurrent.py."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.rnn import RNN
from dltrain.tensor import Shape
from dltrain.testing import Trial, samples

N, T, D, H = 3, 6, 4, 5
RNG = np.random.default_rng(0)
X, STATIC, H0 = RNG.standard_normal((N, T, D)), RNG.standard_normal((N, 2)), RNG.standard_normal((N, H))
CONT = np.array([[0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 0]])


def by_definition(w: dict[str, Any], f: Any) -> tuple[Any, Any]:
    """Sample by sample, step by step."""
    y, h = np.zeros((N, T, H)), H0.copy()
    for n, t in np.ndindex(N, T):
        seen = w["weight_x"] @ X[n, t] + w["weight_static"] @ STATIC[n] + w["bias"]
        h[n] = f(w["weight_h"] @ (CONT[n, t] * h[n]) + seen)
        y[n, t] = np.tanh(w["weight_o"] @ h[n] + w["bias_o"]) if "weight_o" in w else h[n]
    return y, h


def test_two_steps_by_hand(run: Any) -> None:
    params = {"weight_x": [[2.0]], "bias": [1], "weight_h": [[3.0]], "weight_o": [[4.0]], "bias_o": [5]}
    y, state = run(RNN(num_output=1), [[[0.1], [-0.2]]], params=params).tops
    one = tanh(2 * 0.1 + 1)
    two = tanh(3 * one + 2 * -0.2 + 1)
    np.testing.assert_allclose(y, [[[tanh(4 * one + 5)], [tanh(4 * two + 5)]]], rtol=1e-12)
    np.testing.assert_allclose(state, [[two]], rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("output_term", [False, True])
def test_is_what_the_definition_says(output_term: bool, activation: Any, run: Any) -> None:
    layer, xs = RNN(num_output=H, output_term=output_term, activation=activation), (X, CONT, STATIC, H0)
    params = samples(layer, [Shape(x.shape) for x in xs])[1]
    expected = by_definition(params, np.tanh if activation == "tanh" else lambda z: np.maximum(z, 0))
    for found, wanted in zip(run(layer, *xs, params=params).tops, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_without_the_output_the_state_is_what_comes_out(run: Any) -> None:
    layer = RNN(num_output=H, output_term=False)
    y, state = run(layer, X, params=samples(layer, [Shape(X.shape)])[1]).tops
    np.testing.assert_array_equal(y[:, -1], state)


def test_relu_and_the_identity_remember_for_ever(run: Any) -> None:
    """Le, Jaitly & Hinton 2015: what is positive is added up."""
    params, x = {"weight_x": np.eye(2), "bias": [0, 0], "weight_h": np.eye(2)}, np.abs(X[..., :2])
    made = run(RNN(num_output=2, output_term=False, activation="relu"), x, params=params)
    np.testing.assert_allclose(made.y, np.cumsum(x, axis=1), rtol=1e-12)


@pytest.mark.parametrize(("keys", "bottoms", "expected"), [
    ({}, [X, CONT, STATIC], {"weight_x": (5, 4), "bias": (5,), "weight_static": (5, 2), "weight_h": (5, 5), "weight_o": (5, 5),
                             "bias_o": (5,)}),
    ({"bias_term": False}, [X], {"weight_x": (5, 4), "weight_h": (5, 5), "weight_o": (5, 5)}),
    ({"num_layers": 2, "output_term": False}, [X], {
        "weight_x": (5, 4), "bias": (5,), "weight_h": (5, 5), "weight_x_l1": (5, 5), "bias_l1": (5,), "weight_h_l1": (5, 5)}),
])  # fmt: skip
def test_its_parameters_stand_in_caffes_order(keys: Any, bottoms: list[Any], expected: dict[str, Any]) -> None:
    parts = Trial(RNN(num_output=5, **keys), [Shape(x.shape) for x in bottoms]).store.segments.values()
    assert [(part.role, tuple(part.shape)) for part in parts] == list(expected.items())
    assert {part.role for part in parts if part.filler.type == "constant"} == {role for role in expected if "bias" in role}
