"""Im2col: patches by hand, Caffe's sizes, and a convolution made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.convolution import Convolution
from dltrain.layers.im2col import Im2col
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer


def test_each_patch_becomes_a_column(run: Any) -> None:
    made = run(Im2col(kernel_size=(2,)), np.arange(1.0, 7).reshape(1, 1, 2, 3))
    np.testing.assert_array_equal(made.y, [[[[1, 2]], [[2, 3]], [[4, 5]], [[5, 6]]]])
    np.testing.assert_array_equal(made.dx, [[[[1, 2, 1], [1, 2, 1]]]])


def test_channels_come_one_behind_another_and_padding_is_zero(run: Any) -> None:
    made = run(Im2col(kernel_size=(2,), pad=(1,), stride=(3,)), [[[1.0, 2], [3, 4]]])
    np.testing.assert_array_equal(made.y, [[[0], [1], [0], [3]]])


GEOMETRIES = [
    ((2, 3, 10, 11), {"kernel_size": (3,), "stride": (2,), "dilation": (3,)}, (27, 2, 3)),
    ((2, 3, 6, 5), {"kernel_size": (3, 2), "stride": (2, 1), "pad": (1, 0)}, (18, 3, 4)),
    ((2, 2, 7), {"kernel_size": (3,), "pad": (1,)}, (6, 7)),
    ((1, 2, 3, 4, 3), {"kernel_size": (2, 3, 1)}, (12, 2, 2, 3)),
]


@pytest.mark.parametrize(("shape", "keys", "top"), GEOMETRIES)
def test_sits_the_exam(shape: tuple[int, ...], keys: Any, top: tuple[int, ...]) -> None:
    assert Trial(Im2col(**keys), [Shape(shape)]).promised == [(shape[0], *top)]
    check_layer(Im2col(**keys), shape)


@pytest.mark.parametrize(("shape", "keys", "top"), GEOMETRIES)
def test_a_matrix_product_with_the_patches_is_a_convolution(shape: Any, keys: Any, top: Any, run: Any) -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal(shape), rng.standard_normal((4, top[0]))
    layer = Convolution(num_output=4, bias_term=False, **keys)
    weight = w.reshape(Trial(layer, [Shape(shape)]).store.segments["it", "weight"].shape)
    patches = run(Im2col(**keys), x).y
    y = np.moveaxis(np.tensordot(w, patches, (1, 1)), 0, 1)
    np.testing.assert_allclose(run(layer, x, params={"weight": weight}).y, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("shape", "keys", "key", "words"), [
    ((2, 3), {}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
    ((2, 3, 6, 6), {"stride": (1, 1, 1)}, "stride", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 3, 2, 6), {"pad": (0, 1)}, "kernel_size", "is larger than its bottom: 3 x 3 over 2 x 8, padding included"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Im2col(**{"kernel_size": (3,), **keys}), [shape], key, words)
