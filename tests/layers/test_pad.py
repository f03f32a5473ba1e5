"""Pad: the three borders by hand, where their gradients go, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.pad import Pad
from dltrain.testing import check_layer

LINES = {
    "zero": ([0, 0, 1, 2, 3, 0], [1, 1, 1]),
    "edge": ([1, 1, 1, 2, 3, 3], [3, 1, 2]),
    "reflect": ([3, 2, 1, 2, 3, 2], [1, 3, 2]),
}


@pytest.mark.parametrize("mode", LINES)
def test_a_line(mode: Any, run: Any) -> None:
    y, dx = LINES[mode]
    made = run(Pad(pad=(2,), pad_after=(1,), mode=mode), [[[1.0, 2, 3]]])
    np.testing.assert_array_equal(made.y, [[y]])
    np.testing.assert_array_equal(made.dx, [[dx]])


def test_each_axis_its_own(run: Any) -> None:
    made = run(Pad(pad=(0, 1), pad_after=(1, 0)), [[[[1.0, 2], [3, 4]]]])
    np.testing.assert_array_equal(made.y, [[[[0, 1, 2], [0, 3, 4], [0, 0, 0]]]])


def test_without_after_both_sides_are_alike(run: Any) -> None:
    np.testing.assert_array_equal(run(Pad(pad=(1,), mode="edge"), [[[1.0, 2]]]).y, [[[1, 1, 2, 2]]])


def test_reflects_as_far_as_the_image_goes(run: Any) -> None:
    np.testing.assert_array_equal(run(Pad(pad=(2,), mode="reflect"), [[[1.0, 2, 3]]]).y, [[[3, 2, 1, 2, 3, 2, 1]]])


@pytest.mark.parametrize("axis", [1, -2])
def test_other_axes(axis: int, run: Any) -> None:
    made = run(Pad(pad=(1, 0), pad_after=(0,), axis=axis), [[[1.0, 2], [3, 4]]])
    np.testing.assert_array_equal(made.y, [[[0, 0], [1, 2], [3, 4]]])


@pytest.mark.parametrize("mode", LINES)
@pytest.mark.parametrize(("shape", "keys"), [
    ((2, 3, 4, 5), {"pad": (1, 3), "pad_after": (2, 0)}),
    ((2, 3, 4), {"pad": (2,), "axis": 1}), ((1, 2, 3, 2, 3), {"pad": (1,)}),
])  # fmt: skip
def test_sits_the_exam(shape: tuple[int, ...], keys: Any, mode: Any) -> None:
    check_layer(Pad(mode=mode, **keys), shape)


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"axis": 0}, "axis", "0 is not an axis of 2 x 3 x 4 x 5 after the sample axis"),
    ({"pad": (1, 2, 3)}, "pad", "needs 1 or 2 numbers for the axes 2 to 3"),
    ({"pad_after": (1, 2, 3)}, "pad_after", "needs 1 or 2 numbers for the axes 2 to 3"),
    ({"pad": (4,), "mode": "reflect"}, "pad", "must be smaller than the image, 4 x 5, which is turned round"),
    ({"pad_after": (0, 5), "mode": "reflect"}, "pad_after", "must be smaller than the image, 4 x 5, which is turned round"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Pad(**keys), [(2, 3, 4, 5)], key, words)
