"""Silence: it makes nothing, and nobody can read it."""

from __future__ import annotations

import numpy as np
import pytest

from dltrain.errors import ConfigError
from dltrain.layers.silence import Silence
from dltrain.net import Net
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer
from dltrain.wiring import Line

FIELDS = {"data": Shape((3,)), "label": Shape((), "index")}


def test_it_makes_nothing_and_its_gradients_are_zero() -> None:
    tops, dxs, _ = Trial(Silence(), [Shape((2, 3)), Shape((4,), "index")]).run([np.ones((2, 3)), np.ones(4)], [], {})
    assert tops == []
    np.testing.assert_array_equal(dxs[0], np.zeros((2, 3)))
    assert dxs[1] is None


def test_the_line_below_reads_past_it() -> None:
    net = Net([Line("a", LAYERS["TanH"]()), Line("quiet", Silence(), ["label"]), Line("b", LAYERS["ReLU"]())], dict(FIELDS))
    assert net.shapes["train"]["b"] == (2, 3)
    assert "quiet" not in net.shapes["train"]


def test_nobody_can_read_it() -> None:
    with pytest.raises(ConfigError, match="there is no blob 'quiet'"):
        Net([Line("quiet", Silence()), Line("b", LAYERS["ReLU"](), "quiet")], dict(FIELDS))


def test_it_costs_nothing_in_training() -> None:
    lines = [Line("ip", LAYERS["InnerProduct"](num_output=2)), Line("quiet", Silence(), ["ip"]),
             Line("loss", LAYERS["SoftmaxWithLoss"](), ["ip", "label"])]  # fmt: skip
    assert "quiet" not in {call.layer for call in Net(lines, dict(FIELDS)).graph("train", (2,)).calls}


def test_sits_the_exam() -> None:
    check_layer(Silence(), (2, 3), (4,))
