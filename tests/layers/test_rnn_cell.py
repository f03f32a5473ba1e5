"""RNNCell: its formula.  That it is one step of an RNN, and what it refuses, is in tests/test_recurrent.py."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.rnn_cell import RNNCell


@pytest.mark.parametrize(
    ("activation", "x", "y"), [("tanh", 0.5, tanh(2 * 0.5 + 1 + 3 * 0.2)), ("relu", 0.5, 2.6), ("relu", -5.0, 0)]
)
def test_by_hand(activation: Any, x: float, y: float, run: Any) -> None:
    params = {"weight_x": [[2.0]], "bias": [1], "weight_h": [[3.0]]}
    made = run(RNNCell(num_output=1, activation=activation), [[x]], [[0.2]], params=params)
    np.testing.assert_allclose(made.y, [[y]], rtol=1e-12)
