"""Channels in another order, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dltrain.data.channels import Channels
from dltrain.errors import Refusal
from dltrain.source import Shape
from tests.fixtures.steps import no_training

X = np.arange(12, dtype=np.float32).reshape(2, 3, 2)


def test_blue_green_red() -> None:
    step = Channels(order=(2, 1, 0))
    assert step.setup(Shape((3, 2)), no_training) == (3, 2)
    np.testing.assert_array_equal(step.apply(X, None), X[:, ::-1])
    np.testing.assert_array_equal(step.one(X[0], None), X[0, ::-1])


def test_fewer_or_more_channels_keep_the_type() -> None:
    made = Channels(order=(1, 1)).setup(Shape((3, 4, 4), "index"), no_training)
    assert made == (2, 4, 4) and made.dtype == "index"


def test_a_channel_that_is_not_there() -> None:
    with pytest.raises(Refusal, match=r"channels: \[0, 3\] needs 4 channels, and the field is 3 x 2"):
        Channels(order=(0, 3)).setup(Shape((3, 2)), no_training)
