"""The contract of layers with a window: keys spread over the axes, sizes there and back, and channels on another axis."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.errors import Refusal
from dltrain.layer import Blob, Shape
from dltrain.testing import Trial
from dltrain.windowed import Windowed


@dataclass(kw_only=True)
class Patches(Windowed):
    """y = the sizes of an image that a window leaves; it has all keys of one but no filters"""

    kernel_size: tuple[int, ...] = (3,)
    stride: tuple[int, ...] = (1,)
    pad: tuple[int, ...] = (0,)
    dilation: tuple[int, ...] = (1,)
    axis: int = 1

    def setup(self, x: Shape) -> Shape:
        image = self.image(x)
        self.window = self.geometry(image)
        return self.outer(x, image, Shape((*image[:2], *self.shrunk(image))))

    def forward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded(x, y)
        self.carry(x.data, bottom.data)
        self.ops.mean_pool(bottom.data, top.data, self.window)
        self.carry(top.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded(x, y)
        self.carry(y.grad, top.grad)
        self.ops.mean_pool_dx(top.grad, bottom.grad, self.window)
        self.carry(bottom.grad, x.grad)


@dataclass(kw_only=True)
class Few(Windowed):
    """y = x; it has no dilation"""

    kernel_size: tuple[int, ...] = (2,)
    stride: tuple[int, ...] = (1,)
    pad: tuple[int, ...] = (0,)


@dataclass(kw_only=True)
class Grouped(Few):
    num_output: int = 6
    group: int = 1


def test_one_number_stands_for_all_axes() -> None:
    window = Patches(stride=(2, 1), pad=(1,)).geometry(Shape((1, 2, 8, 9)))
    assert (window.kernel, window.stride, window.pad, window.steps, window.group) == ((3, 3), (2, 1), (1, 1), (1, 1), 1)
    assert Few().geometry(Shape((1, 2, 8, 9, 7))).steps == (1, 1, 1)
    assert Grouped(group=2).geometry(Shape((1, 4, 8))).group == 2


@given(some.lists(some.tuples(*[some.integers(1, 4)] * 3, some.integers(0, 3), some.integers(1, 9)), min_size=1, max_size=3))
def test_what_shrinks_an_image_grows_it_back(axes: list[tuple[int, ...]]) -> None:
    """Sizes that the window fits n times at n - 1 strides from its extent, less the padding."""
    kernel, stride, dilation, pad, fits = (tuple(column) for column in zip(*axes))
    layer = Patches(kernel_size=kernel, stride=stride, dilation=dilation, pad=pad)
    small = Shape((1, 1, *fits))
    layer.window = layer.geometry(small)
    sizes = [s * (n - 1) + d * (k - 1) + 1 - 2 * p for k, s, d, p, n in axes]
    if min(sizes) < 1:
        whole = " x ".join(str(n + 2 * p) for n, p in zip(sizes, pad))
        with pytest.raises(Refusal, match=f"takes away all of the top, {whole} without it"):
            layer.grown(small)
        return
    assert layer.grown(small) == tuple(sizes)
    assert layer.shrunk(Shape((1, 1, *sizes))) == fits


def test_axes_before_the_channels_are_samples() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 4, 5))
    plain = Trial(Patches(), [Shape((6, 2, 4, 5))]).run([x.reshape(6, 2, 4, 5)], [np.ones((6, 2, 2, 3))], {})
    (y,), (dx,), _ = Trial(Patches(axis=2), [Shape(x.shape)]).run([x], [np.ones((2, 3, 2, 2, 3))], {})
    np.testing.assert_array_equal(y, plain[0][0].reshape(2, 3, 2, 2, 3))
    np.testing.assert_array_equal(dx, plain[1][0].reshape(x.shape))


@pytest.mark.parametrize(("layer", "shape", "key", "words"), [
    (Few(kernel_size=(2, 2)), (1, 4, 6), "kernel_size", "needs 1 or 1 numbers for 1 spatial axes"),
    (Patches(dilation=(1, 1)), (1, 4, 6, 6, 6), "dilation", "needs 1 or 3 numbers for 3 spatial axes"),
    (Patches(), (2, 3), "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
    (Patches(axis=3), (2, 3, 2, 4), "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3 x 2 x 4"),
    (Patches(axis=5), (2, 3, 2, 4), "axis", "5 is not an axis of 2 x 3 x 2 x 4 after the sample axis"),
    (Patches(), Shape((1, 1, 4, 4), "index"), "bottom", "needs real numbers, not the integers of 1 x 1 x 4 x 4"),
    (Patches(dilation=(2,), pad=(1,)), (1, 1, 4, 2), "kernel_size", "is larger than its bottom: 5 x 5 over 6 x 4, padding included"),
    (Grouped(group=3), (1, 4, 6), "group", "3 does not divide the bottom's 4 channels"),
    (Grouped(group=4), (1, 4, 6), "group", "4 does not divide num_output 6"),
])  # fmt: skip
def test_refuses(layer: Windowed, shape: Any, key: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        image = layer.image(shape if isinstance(shape, Shape) else Shape(shape))
        layer.window = layer.geometry(image)
        layer.shrunk(image)
    assert caught.value.key == key
