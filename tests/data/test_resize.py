"""Resize: small samplings worked by hand, against a matrix written out, and over many shapes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from dltrain.data.resize import Resize
from dltrain.errors import Refusal
from dltrain.source import ANY_SIZE, Shape


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
    y = apply(Resize(size=(3, 1)), [[[[0, 2], [4, 6]]]])  # rows at -1/6, 1/2, 7/6
    assert y.tolist() == [[[[1], [3], [5]]]]


def test_shrinking_by_hand() -> None:
    """To half: the triangle is 4 pixels wide, its weights at distances 3/2, 1/2, 1/2, 3/2 are 1, 3, 3, 1 of 8."""
    y = apply(Resize(size=(1, 2)), [[[[0, 7, 14, 70]]]])  # at the border the outer one is missing: 3, 3, 1 of 7
    assert np.allclose(y, [[[[(3 * 0 + 3 * 7 + 14) / 7, (7 + 3 * 14 + 3 * 70) / 7]]]])
    y = apply(Resize(size=(1, 4)), [[[[0, 0, 0, 8, 0, 0, 0, 0]]]])  # pixel 3 is 1/2 from the new 1 (at 2.5), 3/2 from the new 2
    assert np.allclose(y, [[[[0, 3, 1, 0]]]])
    y = apply(Resize(size=(1,)), [[[[1, 2, 3], [4, 5, 6]]]])  # rows weigh alike; columns, 3 apart of 3: 2/3, 1, 2/3
    assert np.allclose(y, 3.5)


def test_area_by_hand() -> None:
    assert np.allclose(apply(Resize(size=(1, 2), mode="area"), [[[[1, 2, 3]]]]), [[[[4 / 3, 8 / 3]]]])  # 1 + half of 2, by 3/2
    y = apply(Resize(size=(2,), mode="area"), np.arange(16).reshape(1, 1, 4, 4))
    assert np.allclose(y, [[[[2.5, 4.5], [10.5, 12.5]]]])
    assert np.allclose(apply(Resize(size=(1, 3), mode="area"), [[[[0, 6]]]]), [[[[0, 3, 6]]]])


def test_bicubic_by_hand() -> None:
    """A pixel spread over four times as many: -1/2 t^3 + 5/2 t^2 - 4 t + 2 and 3/2 t^3 - 5/2 t^2 + 1 at eighths."""
    y = apply(Resize(size=(1, 28), mode="bicubic"), [[[[0, 0, 0, 1024, 0, 0, 0]]]])
    assert np.allclose(y[0, 0, 0, 14:18], [987, 745, 399, 93])
    assert np.allclose(y[0, 0, 0, 18:22], [-49, -75, -45, -7])
    assert np.allclose(y[0, 0, 0, 22:], 0) and np.allclose(y[0, 0, 0], y[0, 0, 0, ::-1])


def test_nearest_by_hand() -> None:
    assert apply(Resize(size=(1, 4), mode="nearest"), [[[[1, 2]]]]).tolist() == [[[[1, 1, 2, 2]]]]
    assert apply(Resize(size=(1, 2), mode="nearest"), [[[[1, 2, 3, 4]]]]).tolist() == [[[[2, 4]]]]
    assert apply(Resize(size=(1, 5), mode="nearest"), [[[[1, 2, 3]]]]).tolist() == [[[[1, 1, 2, 3, 3]]]]


def matrix(old: int, new: int, mode: str) -> Any:
    """The formula, weight by weight, in float64."""
    a, s = np.zeros((new, old)), max(1, old / new)
    for i in range(new):
        p = (i + 0.5) * old / new - 0.5
        for j in range(old):
            t = abs(j - p) / s
            if mode == "bilinear":
                a[i, j] = max(0, 1 - t)
            elif mode == "area":
                a[i, j] = max(0, min(j + 1, (i + 1) * old / new) - max(j, i * old / new))
            elif t < 2:
                a[i, j] = 1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return a / a.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize(
    ("old", "new"),
    [((8, 8), (32, 32)), ((7, 5), (3, 9)), ((6, 9), (6, 4)), ((1, 3), (4, 1)), ((40, 31), (7, 5)), ((9, 9), (4, 7))],
)
def test_is_two_small_matrices(old: tuple[int, int], new: tuple[int, int], mode: Any) -> None:
    x = images(3, 2, *old)
    expected = matrix(old[0], new[0], mode) @ x.astype(np.float64) @ matrix(old[1], new[1], mode).T
    assert np.allclose(apply(Resize(size=new, mode=mode), x), expected, atol=1e-5)


@given(shape=shapes, more=some.tuples(sides, sides))
def test_enlarging_goes_from_pixel_to_pixel(shape: tuple[int, ...], more: tuple[int, int]) -> None:
    """Bit for bit  x_lo + t (x_hi - x_lo),  that axis first which grows less."""
    x = expected = images(*shape)
    size = (shape[2] + more[0], shape[3] + more[1])
    for axis in sorted((3, 2), key=lambda axis: size[axis - 2] / shape[axis]):
        old, new = shape[axis], size[axis - 2]
        p = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(p).astype(int)
        t = (p - low).astype(np.float32).reshape(-1, *[1] * (3 - axis))
        a, b = expected.take(low, axis), expected.take(np.minimum(low + 1, old - 1), axis)
        expected = (b - a) * t + a
    assert np.array_equal(apply(Resize(size=size), x), expected)


MODES = ["bilinear", "nearest", "area"]


@given(shape=shapes, mode=some.sampled_from(MODES))
def test_to_the_same_size_changes_nothing(shape: tuple[int, ...], mode: Any) -> None:
    x = images(*shape)
    assert np.array_equal(apply(Resize(size=shape[2:], mode=mode), x), x)


@given(shape=shapes, size=some.tuples(sides, sides), mode=some.sampled_from(MODES))
def test_stays_between_the_extremes(shape: tuple[int, ...], size: tuple[int, int], mode: Any) -> None:
    x = images(*shape)
    y = apply(Resize(size=size, mode=mode), x)
    assert (y.min((2, 3)) >= x.min((2, 3)) - 1e-5).all() and (y.max((2, 3)) <= x.max((2, 3)) + 1e-5).all()
    assert np.allclose(apply(Resize(size=size, mode=mode), np.full(shape, 3.0)), 3.0)
    assert np.allclose(apply(Resize(size=size, mode="bicubic"), np.full(shape, 3.0)), 3.0)


@given(shape=shapes, size=some.tuples(sides, sides), mode=some.sampled_from(MODES))
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


def test_classes_are_never_mixed() -> None:
    x = np.array([[[[0, 9, 0], [9, 0, 9]]]], np.int32)
    for mode in ("bilinear", "bicubic", "area", "nearest"):
        step, plain = Resize(size=(5, 2), mode=mode), Resize(size=(5, 2), mode="nearest")  # type: ignore[arg-type]
        assert [s.setup(Shape((1, 2, 3), "index"), no_training).dtype for s in (step, plain)] == ["index", "index"]
        y = step.apply(x, None)
        assert y.dtype == np.int32 and np.array_equal(y, plain.apply(x, None))


@pytest.mark.parametrize(("side", "old", "new"), [
    ("short", (375, 500), (60, 80)), ("short", (500, 375), (80, 60)), ("long", (375, 500), (45, 60)), ("long", (1, 500), (1, 60)),
    ("short", (3, 5), (60, 100)), ("short", (60, 61), (60, 61)), ("long", (7, 3), (60, 26)), ("both", (7, 3), (60, 60)),
])  # fmt: skip
def test_sides(side: Any, old: tuple[int, int], new: tuple[int, int]) -> None:
    """60 x 3 / 7 = 25.7 is 26; and with samples of unknown sizes the same."""
    step = Resize(size=(60,), side=side)
    assert step.setup(Shape((3, *old)), no_training) == (3, *new)
    varying = Resize(size=(60,), side=side)
    unknown = (ANY_SIZE, ANY_SIZE)
    assert varying.setup(Shape((3, *unknown)), no_training) == (3, *((60, 60) if side == "both" else unknown))
    x = images(1, 3, *old)
    assert np.array_equal(varying.one(x[0], None), step.apply(x, None)[0])
    assert varying.least() == (60, 60)


def test_smooths_as_pillow_does() -> None:
    pillow = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).integers(0, 256, (75, 100, 3), np.uint8)
    for mode, name in (("bilinear", "BILINEAR"), ("bicubic", "BICUBIC")):
        step = Resize(size=(31, 64), mode=mode)  # type: ignore[arg-type]
        step.setup(Shape((3, ANY_SIZE, ANY_SIZE)), no_training)
        theirs = [pillow.fromarray(x[:, :, c].astype(np.float32)).resize((64, 31), getattr(pillow, name)) for c in range(3)]
        assert np.allclose(step.one(x.transpose(2, 0, 1), None), np.stack([np.asarray(plane) for plane in theirs]), atol=1e-3)


def test_refusals() -> None:
    refuses(Resize(size=(1, 2, 3)), Shape((1, 8, 8)), "size", "resize: size needs one number, or [height, width]")
    refuses(Resize(size=(3, 4), side="short"), Shape((1, 8, 8)), "size", "resize: with side: short size needs one number")
    refuses(Resize(size=(3,)), Shape((64,)), "", "resize: needs an image (C x H x W), not 64")
