"""A mean that stands in a file: of each place or of each channel, and what cannot be subtracted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltrain.data.mean_file import MeanFile
from dltrain.errors import Refusal
from dltrain.source import Shape
from tests.fixtures.steps import no_training

X = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


def test_a_mean_of_each_place_and_of_each_channel(tmp_path: Path) -> None:
    for mean, wanted in ((X[0], X - X), (np.array([1, 2, 3.0]), X - np.array([1, 2, 3]).reshape(3, 1, 1))):
        np.save(tmp_path / "m.npy", mean)
        step = MeanFile(file=str(tmp_path / "m.npy"))
        assert step.setup(Shape((3, 2, 2)), no_training) == (3, 2, 2)
        np.testing.assert_array_equal(step.apply(X, None), wanted)
        np.testing.assert_array_equal(step.one(X[0].astype(np.uint8), None), wanted[0])


def test_what_cannot_be(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", X[0])
    step = MeanFile(file=str(tmp_path / "m.npy"))
    with pytest.raises(Refusal, match="m.npy is 3 x 2 x 2, the field 3 x 4 x 4; put it where both agree"):
        step.setup(Shape((3, 4, 4)), no_training)
    with pytest.raises(Refusal, match="mean_file: needs samples of one size"):
        step.setup(Shape((3, -1, -1)), no_training)
    with pytest.raises(Refusal, match="mean_file: cannot be done with classes"):
        step.setup(Shape((3,), "index"), no_training)
    with pytest.raises(Refusal, match="mean_file: .*gone.npy: there is no such file"):
        MeanFile(file=str(tmp_path / "gone.npy")).setup(Shape((3, 2, 2)), no_training)
