"""ROIPooling: bins by hand, rounding, the border, regions of several images, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.roi_pooling import ROIPooling
from dltrain.testing import check_gradient, check_layer

X = np.stack([np.arange(16.0).reshape(1, 4, 4), 100 + np.arange(16.0).reshape(1, 4, 4)])


@pytest.mark.parametrize(("roi", "y"), [
    ((0, 0, 0, 3, 3), [[5, 7], [13, 15]]),
    ((1, 0, 0, 3, 3), [[105, 107], [113, 115]]),
    ((0, 1, 0, 2, 3), [[5, 6], [13, 14]]),
    ((0, 0, 0, 2, 2), [[5, 6], [9, 10]]),  # three places in two bins: the middle is in both
    ((0, 2, 1, 2, 1), [[6, 6], [6, 6]]),  # one place in all bins
    ((0, 2, 2, 5, 5), [[15, 0], [0, 0]]),  # what lies outside is empty
    ((0, 3, 3, 1, 1), [[15, 15], [15, 15]]),  # an end before the start: one place
    ((0, 0.5, 0.4, 2.5, 3.4), [[6, 7], [14, 15]]),  # rounded, halves up: x from 1 to 3, y from 0 to 3
    ((2, 0, 0, 3, 3), [[0, 0], [0, 0]]),
    ((-1, 0, 0, 3, 3), [[0, 0], [0, 0]]),
])  # fmt: skip
def test_bins(roi: Any, y: Any, run: Any) -> None:
    made = run(ROIPooling(pooled_h=2, pooled_w=2), X, [roi])
    np.testing.assert_array_equal(made.y, [[y]])


def test_corners_are_pixels_of_the_input(run: Any) -> None:
    made = run(ROIPooling(pooled_h=1, pooled_w=2, spatial_scale=0.25), X, [[0.0, 0, 0, 12, 4]])
    np.testing.assert_array_equal(made.y, [[[[5, 7]]]])


def test_the_gradient_goes_to_the_winners_and_adds_up(run: Any) -> None:
    rois = [[0.0, 0, 0, 3, 3], [0, 2, 2, 3, 3], [1, 0, 0, 0, 0], [5, 0, 0, 3, 3]]
    made = run(ROIPooling(pooled_h=1, pooled_w=1), X, rois, dy=np.reshape([1.0, 10, 100, 1000], (4, 1, 1, 1)))
    expected = np.zeros(X.shape)
    expected[0, 0, 3, 3], expected[1, 0, 0, 0] = 11, 100
    np.testing.assert_array_equal(made.dx, expected)
    assert made.dxs[1] is None


def test_sits_the_exam() -> None:
    layer, rng = ROIPooling(pooled_h=2, pooled_w=3, spatial_scale=0.5), np.random.default_rng(2)
    check_layer(layer, (2, 3, 5, 6), (7, 5))
    corners = np.sort(rng.uniform(0, 10, (7, 2, 2)), axis=1).reshape(7, 4)
    rois = np.concatenate([rng.integers(0, 2, (7, 1)), corners], 1)
    check_gradient(layer, (2, 3, 5, 6), (7, 5), xs=[rng.standard_normal((2, 3, 5, 6)), rois])


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3, 5), (7, 5)], "needs images, N x C x H x W, not 2 x 3 x 5"),
    ([(2, 3, 5, 5), (7, 4)], "the regions must be R x 5: image, x1, y1, x2, y2; not 7 x 4"),
    ([(2, 3, 5, 5), (7, 5, 1)], "the regions must be R x 5: image, x1, y1, x2, y2; not 7 x 5 x 1"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(ROIPooling(pooled_h=2, pooled_w=2), shapes, "bottom", words)
