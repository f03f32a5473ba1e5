"""Windows: how many places they have over random geometries, held against counting and against what the ops make."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.ops.reference  # noqa: F401  (declares the ops)
from dltrain.ops.signature import OPS
from dltrain.ops.window import Window


@some.composite
def geometries(draw: Any, dilated: bool) -> tuple[tuple[int, ...], Window]:
    """The sizes of an image of one to three axes, and a window that fits it."""
    axes = draw(some.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(some.integers(low, high)) for _ in range(axes))

    kernel, stride, dilation = each(1, 3), each(1, 4), each(1, 2) if dilated else (1,) * axes
    pad = each(0, 3) if dilated else tuple(draw(some.integers(0, k - 1)) for k in kernel)
    window = Window(kernel, stride, pad, dilation)
    return tuple(max(1, e - 2 * p) + more for e, p, more in zip(window.extent, pad, each(0, 5), strict=True)), window


@settings(max_examples=80, deadline=None)
@given(geometries(dilated=True))
def test_a_convolution_has_as_many_places_as_fit(case: Any) -> None:
    sizes, window = case
    made = window.convolved(sizes)
    for count, n, e, s, p in zip(made, sizes, window.extent, window.stride, window.pad, strict=True):
        assert count == len([at for at in range(-p, n + p, s) if at + e <= n + p])
    x, w, y = np.ones((1, 1, *sizes)), np.ones((1, 1, *window.kernel)), np.full((1, 1, *made), np.nan)
    OPS["conv"].function(x, w, None, y, window)
    assert np.isfinite(y).all() and y.max() <= window.area
    dx = np.full(x.shape, np.nan)
    OPS["conv_dx"].function(w, np.ones(y.shape), dx, window)
    assert dx.sum() == y.sum(), "each product of the one is a product of the other"


@settings(max_examples=80, deadline=None)
@given(geometries(dilated=True))
def test_the_taps_stay_inside_the_padded_image_and_reach_its_end(case: Any) -> None:
    sizes, window = case
    taps = list(window.taps(window.convolved(sizes)))
    assert [tap for tap, _ in taps] == list(np.ndindex(*window.kernel))
    for axis, (n, s, p) in enumerate(zip(sizes, window.stride, window.pad, strict=True)):
        reach = max(at[axis].stop for _, at in taps)
        assert reach <= n + 2 * p < reach + s


@settings(max_examples=80, deadline=None)
@given(geometries(dilated=False), some.booleans())
def test_a_pooling_has_the_windows_of_caffe(case: Any, ceil: bool) -> None:
    sizes, window = case
    for count, n, k, s, p in zip(window.pooled(sizes, ceil), sizes, window.kernel, window.stride, window.pad, strict=True):
        starts = [-p]
        while starts[-1] + k < n + p if ceil else starts[-1] + s + k <= n + p:  # until the end is covered; while one more fits
            starts.append(starts[-1] + s)
        assert count == len([at for at in starts if not any(window.pad) or at < n])


@settings(max_examples=80, deadline=None)
@given(geometries(dilated=False), some.booleans())
def test_pooling_writes_every_window_and_loses_no_pixel(case: Any, ceil: bool) -> None:
    sizes, window = case
    made = (1, 1, *window.pooled(sizes, ceil))
    x = np.random.default_rng(0).permutation(prod(sizes)).reshape(1, 1, *sizes) + 1.0
    y, winner, mean = np.full(made, np.nan), np.full(made, -7, np.int32), np.full(made, np.nan)
    OPS["max_pool"].function(x, y, winner, window)
    OPS["mean_pool"].function(x, mean, window)
    full = winner >= 0
    assert (winner >= -1).all() and (mean[~full] == 0).all()
    np.testing.assert_array_equal(y[full], x.reshape(-1)[winner[full]])
    assert ((mean[full] > 0) & (mean[full] <= y[full])).all()
    if ceil and all(s <= k for s, k in zip(window.stride, window.kernel, strict=True)):
        assert y.max() == x.max()


@pytest.mark.parametrize(("window", "extent", "area"), [
    (Window((3, 5), (1, 1), (0, 0)), (3, 5), 15),
    (Window((3, 5), (1, 1), (0, 0), (2, 3)), (5, 13), 15),
    (Window((1,), (4,), (0,), (9,)), (1,), 1),
])  # fmt: skip
def test_a_window_spans_its_dilated_kernel(window: Window, extent: tuple[int, ...], area: int) -> None:
    assert (window.extent, window.area) == (extent, area)
