"""LRN: by hand and by the sum as it is written, across channels and within one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.lrn import LRN
from dltrain.testing import check_layer


def test_across_channels_by_hand(run: Any) -> None:
    y = run(LRN(local_size=3, alpha=3.0, beta=1.0, k=2.0), np.array([[1.0, 2, 3, 4]])).y
    np.testing.assert_allclose(y, [[1 / (2 + 5), 2 / (2 + 14), 3 / (2 + 29), 4 / (2 + 25)]])


def test_within_a_channel_by_hand_and_without_k(run: Any) -> None:
    x = np.array([[[1.0, 2, 3, 4]]])
    y = run(LRN(local_size=3, alpha=3.0, beta=1.0, k=2.0, norm_region="within_channel"), x).y
    np.testing.assert_allclose(y, [[[1 / (1 + 5), 2 / (1 + 14), 3 / (1 + 29), 4 / (1 + 25)]]])


def test_the_gradient_by_hand(run: Any) -> None:
    made = run(LRN(local_size=1, alpha=1.0, beta=1.0), np.array([[2.0, 0.5]]), dy=[[1, 1]])
    np.testing.assert_allclose(made.dx, [[(1 - 4) / 25, (1 - 0.25) / 1.25**2]])


@pytest.mark.parametrize("size", [1, 3, 5, 15])
def test_across_channels_as_it_is_written(size: int, run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 3))
    y = run(LRN(local_size=size, alpha=0.5, beta=0.6, k=1.5), x).y
    for c in range(7):
        near = x[:, max(c - size // 2, 0) : c + size // 2 + 1]
        np.testing.assert_allclose(y[:, c], x[:, c] * (1.5 + 0.5 / size * np.square(near).sum(axis=1)) ** -0.6)


@pytest.mark.parametrize("size", [1, 3, 5, 15])
def test_within_a_channel_as_it_is_written(size: int, run: Any) -> None:
    x, half = np.random.default_rng(0).standard_normal((2, 3, 5, 6)), size // 2
    y = run(LRN(local_size=size, alpha=0.5, norm_region="within_channel"), x).y
    for h, w in np.ndindex(5, 6):
        near = x[:, :, max(h - half, 0) : h + half + 1, max(w - half, 0) : w + half + 1]
        np.testing.assert_allclose(y[:, :, h, w], x[:, :, h, w] * (1 + 0.5 / size**2 * np.square(near).sum(axis=(2, 3))) ** -0.75)


@pytest.mark.parametrize(("region", "shape"), [
    ("across_channels", (3, 6)), ("across_channels", (2, 5, 3)), ("across_channels", (2, 7, 2, 3)),
    ("across_channels", (2, 2, 3)),
    ("within_channel", (2, 3, 6)), ("within_channel", (2, 2, 4, 5)), ("within_channel", (1, 1, 3, 3, 3)),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 5])
def test_sits_the_exam(region: Any, shape: tuple[int, ...], size: int) -> None:
    check_layer(LRN(local_size=size, norm_region=region, k=1.5, beta=0.6), shape)


@pytest.mark.parametrize(("keys", "shape", "key", "words"), [
    ({"local_size": 4}, (2, 3), "local_size", "4 must be odd, to have a middle"),
    ({}, (5,), "", "needs a bottom with channels (N x C), not 5"),
    ({"norm_region": "within_channel"}, (2, 3), "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
])  # fmt: skip
def test_refuses(keys: Any, shape: tuple[int, ...], key: str, words: str, refuses: Any) -> None:
    refuses(LRN(**keys), [shape], key, words)
