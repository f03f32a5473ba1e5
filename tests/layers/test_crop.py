"""Crop: offsets, axes, where the gradient goes, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.crop import Crop
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.arange(2 * 4 * 5 * 4, dtype=float).reshape(2, 4, 5, 4)


@pytest.mark.parametrize(("keys", "like", "part"), [
    ({}, (9, 9, 3, 2), np.s_[:, :, :3, :2]),
    ({"offset": (1,)}, (2, 4, 3, 2), np.s_[:, :, 1:4, 1:3]),
    ({"offset": (2, 0)}, (2, 4, 3, 2), np.s_[:, :, 2:5, :2]),
    ({"axis": 1, "offset": (1, 1, 2)}, (2, 3, 4, 2), np.s_[:, 1:4, 1:5, 2:4]),
    ({"axis": -1, "offset": (2,)}, (1, 1, 1, 2), np.s_[:, :, :, 2:4]),
    ({}, (2, 4, 5, 4), np.s_[:]),
])  # fmt: skip
def test_takes_a_part_and_its_gradient_goes_there(keys: Any, like: Any, part: Any, run: Any) -> None:
    made, expected = run(Crop(**keys), X, np.zeros(like)), np.zeros(X.shape)
    expected[part] = 1
    np.testing.assert_array_equal(made.y, X[part])
    np.testing.assert_array_equal(made.dx, expected)
    assert made.dxs[1] is None
    check_layer(Crop(**keys), X.shape, like)


def test_five_axes() -> None:
    check_layer(Crop(offset=(1, 2, 0)), (2, 2, 4, 5, 3), (2, 1, 3, 2, 3))


def test_labels_can_be_cropped() -> None:
    trial = Trial(Crop(axis=1), [Shape((2, 5, 4), "index"), Shape((2, 3, 2))], train=False)
    assert trial.promised == [(2, 3, 2)] and trial.promised[0].dtype == "index"


@pytest.mark.parametrize(("keys", "like", "key", "words"), [
    ({}, (2, 4, 5), "bottom", "cannot crop 2 x 4 x 5 x 4 to 2 x 4 x 5: give it as many axes"),
    ({"axis": 0}, (2, 4, 5, 4), "axis", "0 is not an axis of 2 x 4 x 5 x 4 after the sample axis"),
    ({"axis": 1, "offset": (1, 2)}, (2, 4, 5, 4), "offset", "needs 1 or 3 numbers for the axes 1 to 3"),
    ({"offset": (0, 2)}, (2, 4, 5, 3), "offset", "leaves too little of axis 3: 4 from 2 on, and 3 are wanted"),
    ({}, (2, 4, 6, 3), "offset", "leaves too little of axis 2: 5 from 0 on, and 6 are wanted"),
])  # fmt: skip
def test_refuses(keys: Any, like: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Crop(**keys), [X.shape, like], key, words)
