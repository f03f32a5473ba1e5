"""GRU: its formula, with both places of the reset gate.  What all recurrent layers promise is in tests/test_recurrent.py."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.gru import GRU
from dltrain.tensor import Shape
from dltrain.testing import Trial, samples

N, T, D, H = 3, 6, 4, 5
RNG = np.random.default_rng(0)
X, STATIC, H0 = RNG.standard_normal((N, T, D)), RNG.standard_normal((N, 2)), RNG.standard_normal((N, H))
CONT = np.array([[0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 0]])


def by_definition(w: dict[str, Any], reset: str) -> tuple[Any, Any]:
    """Sample by sample, step by step."""
    y, h = np.zeros((N, T, H)), H0.copy()
    rows, late = [slice(g * H, g * H + H) for g in range(3)], w.get("bias_h", np.zeros(H))
    for n, t in np.ndindex(N, T):
        kept, seen = h[n] * CONT[n, t], w["weight_x"] @ X[n, t] + w["weight_static"] @ STATIC[n] + w["bias"]
        r, z = (1 / (1 + np.exp(-seen[at] - w["weight_h"][at] @ kept)) for at in rows[:2])
        felt = r * (w["weight_h"][rows[2]] @ kept + late) if reset == "after" else w["weight_h"][rows[2]] @ (r * kept)
        y[n, t] = h[n] = z * kept + (1 - z) * np.tanh(seen[rows[2]] + felt)
    return y, h


def test_two_steps_by_hand(run: Any) -> None:
    """Both gates are half open."""
    params = {"weight_x": [[0.0], [0], [1]], "bias": [0, 0, 0], "weight_h": [[0.0], [0], [2]], "bias_h": [3]}
    one = 0.5 * tanh(0.5 + 0.5 * 3)
    made = run(GRU(num_output=1), [[[0.5], [0.25]]], params=params)
    np.testing.assert_allclose(made.y, [[[one], [0.5 * one + 0.5 * tanh(0.25 + 0.5 * (2 * one + 3))]]], rtol=1e-12)
    del params["bias_h"]
    one = 0.5 * tanh(0.5)
    made = run(GRU(num_output=1, reset="before"), [[[0.5], [0.25]]], params=params)
    np.testing.assert_allclose(made.tops[1], [[0.5 * one + 0.5 * tanh(0.25 + 2 * (0.5 * one))]], rtol=1e-12)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_is_what_the_definition_says(reset: Any, run: Any) -> None:
    layer, xs = GRU(num_output=H, reset=reset), (X, CONT, STATIC, H0)
    params = samples(layer, [Shape(x.shape) for x in xs])[1]
    for found, wanted in zip(run(layer, *xs, params=params).tops, by_definition(params, reset), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("keys", "bottoms", "expected"), [
    ({}, [X], {"weight_x": (15, 4), "bias": (15,), "weight_h": (15, 5), "bias_h": (5,)}),
    ({"reset": "before"}, [X], {"weight_x": (15, 4), "bias": (15,), "weight_h": (15, 5)}),
    ({"num_layers": 2, "bias_term": False}, [X, CONT, STATIC], {
        "weight_x": (15, 4), "weight_static": (15, 2), "weight_h": (15, 5), "weight_x_l1": (15, 5), "weight_h_l1": (15, 5)}),
])  # fmt: skip
def test_its_parameters_stand_in_order(keys: Any, bottoms: list[Any], expected: dict[str, Any]) -> None:
    parts = Trial(GRU(num_output=5, **keys), [Shape(x.shape) for x in bottoms]).store.segments.values()
    assert [(part.role, tuple(part.shape)) for part in parts] == list(expected.items())
    assert {part.role for part in parts if part.filler.type == "constant"} == {role for role in expected if "bias" in role}
