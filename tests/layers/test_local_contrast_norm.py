"""LocalContrastNorm: by hand, even images, and all maps together."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest

from dltrain.layers.local_contrast_norm import LocalContrastNorm
from dltrain.testing import check_layer

G = exp(-2.0)  # the weight of a neighbour: exp(-d^2 / 2) of deviation 3 / 6
X = np.array([[[4.0, 0, 0, 8]]])


def test_subtractive_by_hand(run: Any) -> None:
    made = run(LocalContrastNorm(operation="subtractive", kernel_size=3), X, dy=[[[1, 0, 0, 0]]])
    edge, middle = 1 + G, 1 + 2 * G
    np.testing.assert_allclose(made.y, [[[4 - 4 / edge, -4 * G / middle, -8 * G / middle, 8 - 8 / edge]]])
    np.testing.assert_allclose(made.dx, [[[1 - 1 / edge, -G / edge, 0, 0]]])


def test_divisive_by_hand(run: Any) -> None:
    y = run(LocalContrastNorm(operation="divisive", kernel_size=3), X).y
    edge, middle = 1 + G, 1 + 2 * G
    s = [4 / edge**0.5, 4 * (G / middle) ** 0.5, 8 * (G / middle) ** 0.5, 8 / edge**0.5]
    np.testing.assert_allclose(y, [[[4 / max(s[0], sum(s) / 4), 0, 0, 8 / max(s[3], sum(s) / 4)]]])


def test_both_are_one_behind_the_other(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    v = run(LocalContrastNorm(operation="subtractive"), x).y
    np.testing.assert_allclose(run(LocalContrastNorm(), x).y, run(LocalContrastNorm(operation="divisive"), v).y, rtol=1e-12)


def test_an_even_image_becomes_0_up_to_its_edge(run: Any) -> None:
    made = run(LocalContrastNorm(operation="subtractive"), np.full((1, 2, 6, 5), 3.0))
    np.testing.assert_allclose(made.y, 0, atol=1e-14)


def test_black_stays_black_and_finite(run: Any) -> None:
    made = run(LocalContrastNorm(), np.zeros((1, 2, 6, 5)))
    np.testing.assert_array_equal(made.y, 0)
    assert np.isfinite(made.dx).all()


def test_the_contrast_of_an_image_does_not_matter(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    np.testing.assert_allclose(run(LocalContrastNorm(), 10 * x).y, run(LocalContrastNorm(), x).y, rtol=1e-10)


def test_maps_are_taken_together_and_samples_apart(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5))
    whole = run(LocalContrastNorm(kernel_size=3), x).y
    np.testing.assert_allclose(run(LocalContrastNorm(kernel_size=3), x[:1]).y, whole[:1], rtol=1e-12)
    np.testing.assert_allclose(run(LocalContrastNorm(kernel_size=3), x[:, ::-1]).y, whole[:, ::-1], rtol=1e-12)


@pytest.mark.parametrize("operation", ["subtractive", "divisive", "both"])
@pytest.mark.parametrize(
    ("shape", "size"), [((2, 1, 7), 3), ((2, 3, 5, 4), 3), ((1, 2, 4, 6), 9), ((1, 2, 3, 3, 3), 5), ((2, 2, 3, 3), 1)]
)
def test_sits_the_exam(operation: Any, shape: tuple[int, ...], size: int) -> None:
    check_layer(LocalContrastNorm(operation=operation, kernel_size=size), shape)


@pytest.mark.parametrize(("keys", "shape", "key", "words"), [
    ({"kernel_size": 8}, (2, 3, 4, 4), "kernel_size", "8 must be odd, to have a middle"),
    ({}, (2, 3), "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
])  # fmt: skip
def test_refuses(keys: Any, shape: tuple[int, ...], key: str, words: str, refuses: Any) -> None:
    refuses(LocalContrastNorm(**keys), [shape], key, words)
