"""GRUCell: its formula.  That it is one step of a GRU, and what it refuses, is in tests/test_recurrent.py."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layers.gru_cell import GRUCell


@pytest.mark.parametrize(("reset", "felt"), [("after", 0.5 * (2 * 4 + 3)), ("before", 2 * (0.5 * 4))])
def test_by_hand(reset: Any, felt: float, run: Any) -> None:
    """Both gates are half open."""
    params = {"weight_x": [[0.0], [0], [1]], "bias": [0, 0, 0], "weight_h": [[0.0], [0], [2]], "bias_h": [3]}
    made = run(GRUCell(num_output=1, reset=reset), [[0.5]], [[4.0]], params=params)
    np.testing.assert_allclose(made.y, [[0.5 * 4 + 0.5 * tanh(0.5 + felt)]], rtol=1e-12)
