"""Upsample: both modes by hand, what stays as it is, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.upsample import Upsample
from dltrain.testing import check_layer


def test_nearest_repeats(run: Any) -> None:
    made = run(Upsample(scale=(2, 3)), [[[[1.0, 2], [3, 4]]]], dy=[[np.arange(24.0).reshape(4, 6)]])
    top, bottom = [1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]
    np.testing.assert_array_equal(made.y, [[[top, top, bottom, bottom]]])
    np.testing.assert_array_equal(made.dx, [[[[24, 42], [96, 114]]]])


def test_bilinear_goes_evenly_from_one_to_the_next(run: Any) -> None:
    made = run(Upsample(mode="bilinear"), [[[0.0, 4, 8]]], dy=[[[1.0, 10, 100, 1000, 10000, 100000]]])
    np.testing.assert_array_equal(made.y, [[[0, 1, 3, 5, 7, 8]]])
    np.testing.assert_array_equal(made.dx, [[[33.5, 3327.5, 107750]]])


def test_bilinear_by_three_keeps_the_centres(run: Any) -> None:
    made = run(Upsample(scale=(3,), mode="bilinear"), [[[3.0, 6]]])
    np.testing.assert_allclose(made.y, [[[3, 3, 4, 5, 6, 6]]], rtol=1e-15)


def test_bilinear_in_a_plane_is_one_axis_after_the_other(run: Any) -> None:
    made = run(Upsample(mode="bilinear"), [[[[0.0, 4], [8, 12]]]])
    np.testing.assert_array_equal(made.y, [[[[0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]]]])


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_scale_of_one_changes_nothing_and_nan_stays_where_it_is(mode: Any, run: Any) -> None:
    x = np.array([[[[1.0, 2], [3, np.nan]]]])
    np.testing.assert_array_equal(run(Upsample(scale=(1,), mode=mode), x).y, x)
    assert np.isnan(run(Upsample(scale=(3,), mode=mode), x).y).sum() == (9 if mode == "nearest" else 16)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "scale"), [((2, 3, 4, 3), (2,)), ((1, 2, 3, 1), (3, 4)), ((2, 2, 5), (2,)), ((1, 2, 2, 3, 2), (1, 2, 3))]
)
def test_sits_the_exam(shape: tuple[int, ...], scale: Any, mode: Any) -> None:
    check_layer(Upsample(scale=scale, mode=mode), shape)


def test_refuses(refuses: Any) -> None:
    refuses(Upsample(), [(2, 3)], "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3")
    refuses(Upsample(scale=(2, 2)), [(2, 3, 4)], "scale", "needs 1 or 1 numbers for 1 spatial axes")
