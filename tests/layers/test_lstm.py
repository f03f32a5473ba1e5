"""LSTM: its formula, gate by gate.  What all recurrent layers promise is in tests/test_recurrent.py."""

from __future__ import annotations

from math import exp, tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.lstm import LSTM
from dltrain.tensor import Shape
from dltrain.testing import Trial, samples

N, T, D, H = 3, 6, 4, 5
RNG = np.random.default_rng(0)
X, STATIC = RNG.standard_normal((N, T, D)), RNG.standard_normal((N, 2))
H0, C0 = RNG.standard_normal((2, N, H))
CONT = np.array([[0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 0]])


def by_definition(w: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Sample by sample, step by step, unit by unit."""
    y, h, c = np.zeros((N, T, H)), H0.copy(), C0.copy()
    peep = w.get("weight_c", np.zeros((3, H)))
    for n, t in np.ndindex(N, T):
        before, kept = h[n] * CONT[n, t], c[n] * CONT[n, t]
        seen = w["weight_x"] @ X[n, t] + w["weight_static"] @ STATIC[n] + w["bias"]
        for u in range(H):
            a = [seen[g * H + u] + w["weight_h"][g * H + u] @ before for g in range(4)]
            i, f = (1 / (1 + exp(-(a[g] + peep[g, u] * kept[u]))) for g in range(2))
            c[n, u] = f * kept[u] + i * tanh(a[3])
            h[n, u] = tanh(c[n, u]) / (1 + exp(-(a[2] + peep[2, u] * c[n, u])))
        y[n, t] = h[n]
    return y, h, c


def test_two_steps_by_hand(run: Any) -> None:
    params = {"weight_x": [[0.0], [0], [0], [1]], "bias": [0, 0, 0, 0], "weight_h": [[0.0], [0], [0], [0]]}
    y, state, cell = run(LSTM(num_output=1), [[[1.0], [2.0]]], params=params).tops
    one = 0.5 * tanh(1)  # all gates are half open
    two = 0.5 * one + 0.5 * tanh(2)
    np.testing.assert_allclose(y, [[[0.5 * tanh(one)], [0.5 * tanh(two)]]], rtol=1e-12)
    np.testing.assert_allclose(state, [[0.5 * tanh(two)]], rtol=1e-12)
    np.testing.assert_allclose(cell, [[two]], rtol=1e-12)


@pytest.mark.parametrize("peepholes", [False, True])
def test_is_what_the_definition_says(peepholes: bool, run: Any) -> None:
    layer, xs = LSTM(num_output=H, peepholes=peepholes), (X, CONT, STATIC, H0, C0)
    params = samples(layer, [Shape(x.shape) for x in xs])[1]
    for found, wanted in zip(run(layer, *xs, params=params).tops, by_definition(params), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("keys", "bottoms", "expected"), [
    ({}, [X], {"weight_x": (20, 4), "bias": (20,), "weight_h": (20, 5)}),
    ({"bias_term": False, "peepholes": True}, [X], {"weight_x": (20, 4), "weight_h": (20, 5), "weight_c": (3, 5)}),
    ({"num_layers": 2}, [X, CONT, STATIC], {
        "weight_x": (20, 4), "bias": (20,), "weight_static": (20, 2), "weight_h": (20, 5),
        "weight_x_l1": (20, 5), "bias_l1": (20,), "weight_h_l1": (20, 5)}),
    ({"num_layers": 2, "bidirectional": True, "bias_term": False}, [X], {
        "weight_x": (20, 4), "weight_h": (20, 5), "weight_x_reverse": (20, 4), "weight_h_reverse": (20, 5),
        "weight_x_l1": (20, 10), "weight_h_l1": (20, 5), "weight_x_l1_reverse": (20, 10), "weight_h_l1_reverse": (20, 5)}),
])  # fmt: skip
def test_its_parameters_stand_in_caffes_order(keys: Any, bottoms: list[Any], expected: dict[str, Any]) -> None:
    parts = Trial(LSTM(num_output=5, **keys), [Shape(x.shape) for x in bottoms]).store.segments.values()
    assert [(part.role, tuple(part.shape)) for part in parts] == list(expected.items())
    zero = {role for role in expected if role.startswith(("bias", "weight_c"))}
    assert {part.role for part in parts if part.filler.type == "constant"} == zero
