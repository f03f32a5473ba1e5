"""Resize: two small samplings worked by hand, against a matrix written out, and over many shapes."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from dltrain.data.transforms import Resize
from dltrain.errors import Refusal
from dltrain.source import Shape


def no_training() -> Any:
    raise AssertionError("nothing is computed over the training split here")


def images(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def apply(step: Resize, x: Any) -> Any:
    """What the step makes of a batch, after holding it to its promises: shape, type, and x left as it was."""
    x = np.asarray(x, np.float32)
    before = x.copy()
    promised = step.setup(Shape(x.shape[1:]), no_training)
    y = step.apply(x, None)
    assert y.shape == (len(x), *promised) and y.dtype == np.float32
    assert np.array_equal(x, before)
    return y


def refuses(step: Resize, shape: Shape, key: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        step.setup(shape, no_training)
    assert caught.value.key == key


sides = some.integers(1, 9)
shapes = some.tuples(some.integers(1, 4), some.integers(1, 3), sides, sides)


def test_bilinear_by_hand() -> None:
    y = apply(Resize(size=(1, 4)), [[[[0, 8]]]])  # centres at -1/4, 1/4, 3/4, 5/4 of two pixels
    assert y.tolist() == [[[[0, 2, 6, 8]]]]
    y = apply(Resize(size=(2,)), np.arange(16).reshape(1, 1, 4, 4))  # halfway between two pixels: the mean of four
    assert y.tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    y = apply(Resize(size=(3, 1)), [[[[0, 2], [4, 6]]]])  # rows at -1/6, 1/2, 7/6
    assert y.tolist() == [[[[1], [3], [5]]]]


def test_nearest_by_hand() -> None:
    assert apply(Resize(size=(1, 4), mode="nearest"), [[[[1, 2]]]]).tolist() == [[[[1, 1, 2, 2]]]]
    assert apply(Resize(size=(1, 2), mode="nearest"), [[[[1, 2, 3, 4]]]]).tolist() == [[[[2, 4]]]]
    assert apply(Resize(size=(1, 5), mode="nearest"), [[[[1, 2, 3]]]]).tolist() == [[[[1, 1, 2, 3, 3]]]]


@pytest.mark.parametrize(("old", "new"), [((8, 8), (32, 32)), ((7, 5), (3, 9)), ((6, 9), (6, 4)), ((1, 3), (4, 1))])
def test_is_two_small_matrices(old: tuple[int, int], new: tuple[int, int]) -> None:
    """Y = A X B with A, B the same sampling written out pixel by pixel, in float64."""

    def matrix(old: int, new: int) -> Any:
        a = np.zeros((new, old))
        for i in range(new):
            p = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
            low = int(p)
            a[i, low] += 1 - (p - low)
            a[i, min(low + 1, old - 1)] += p - low
        return a

    x = images(3, 2, *old)
    expected = matrix(old[0], new[0]) @ x.astype(np.float64) @ matrix(old[1], new[1]).T
    assert np.allclose(apply(Resize(size=new), x), expected, atol=1e-5)


@given(shape=shapes, mode=some.sampled_from(["bilinear", "nearest"]))
def test_to_the_same_size_changes_nothing(shape: tuple[int, ...], mode: Any) -> None:
    x = images(*shape)
    assert np.array_equal(apply(Resize(size=shape[2:], mode=mode), x), x)


@given(shape=shapes, size=some.tuples(sides, sides), mode=some.sampled_from(["bilinear", "nearest"]))
def test_stays_between_the_extremes(shape: tuple[int, ...], size: tuple[int, int], mode: Any) -> None:
    x = images(*shape)
    y = apply(Resize(size=size, mode=mode), x)
    assert (y.min((2, 3)) >= x.min((2, 3)) - 1e-5).all() and (y.max((2, 3)) <= x.max((2, 3)) + 1e-5).all()
    assert np.allclose(apply(Resize(size=size, mode=mode), np.full(shape, 3.0)), 3.0)


@given(shape=shapes, size=some.tuples(sides, sides), mode=some.sampled_from(["bilinear", "nearest"]))
def test_turns_with_the_image(shape: tuple[int, ...], size: tuple[int, int], mode: Any) -> None:
    """Half-pixel centres favour neither side (nearest only where no centre falls between two pixels)."""
    pairs = zip(shape[2:], size, strict=True)
    assume(mode != "nearest" or all((2 * i + 1) * old % (2 * new) for old, new in pairs for i in range(new)))
    x = images(*shape)
    y, turned = (apply(Resize(size=size, mode=mode), z) for z in (x, x[:, :, ::-1, ::-1]))
    assert np.allclose(turned, y[:, :, ::-1, ::-1], atol=1e-5)


def test_does_not_depend_on_the_batch() -> None:
    step, x = Resize(size=(32,)), images(64, 1, 8, 8)
    whole = apply(step, x)
    assert all(np.array_equal(apply(step, x[i : i + n]), whole[i : i + n]) for i, n in ((0, 1), (5, 7), (63, 1), (0, 63)))


def test_nearest_keeps_classes() -> None:
    step, x = Resize(size=(4,), mode="nearest"), np.arange(4, dtype=np.int32).reshape(1, 1, 2, 2)
    assert step.setup(Shape((1, 2, 2), "index"), no_training).dtype == "index"
    assert step.apply(x, None).dtype == np.int32
    refuses(Resize(size=(4,)), Shape((1, 2, 2), "index"), "mode", "resize: cannot mix classes; write mode: nearest")


def test_is_quick() -> None:
    step, x, times = Resize(size=(32,)), images(64, 1, 8, 8), []
    step.setup(Shape((1, 8, 8)), no_training)
    for _ in range(50):
        start = time.perf_counter()
        step.apply(x, None)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_refusals() -> None:
    refuses(Resize(size=(1, 2, 3)), Shape((1, 8, 8)), "size", "resize: size needs one number, or [height, width]")
    refuses(Resize(size=(3,)), Shape((64,)), "", "resize: needs an image (C x H x W), not 64")
