"""Crop, crop_resize, pad and mirror: windows worked by hand, pictures of many sizes, and the words of each refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.data  # noqa: F401  fills the registry
from dltrain.data.geometry import Pad
from dltrain.data.resize import CropResize
from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Shape
from tests.fixtures.steps import apply, draw, make, mistake, no_training, refuses

UNKNOWN = (3, ANY_SIZE, ANY_SIZE)
PLACES = np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5)


# --- crop ---
def test_crop_from_a_corner_and_from_the_centre_in_train_too() -> None:
    assert apply({"crop": 2, "at": [2, 3]}, PLACES).tolist() == [[[[13, 14], [18, 19]]]]
    assert apply({"crop": 2, "at": [2, 3]}, PLACES, draw(1)).tolist() == [[[[13, 14], [18, 19]]]]
    assert apply({"crop": 2, "at": "centre"}, PLACES, draw(1)).tolist() == [[[[6, 7], [11, 12]]]]


def test_crop_of_pictures_of_many_sizes() -> None:
    step = make({"crop": [3, 2]})
    assert step.setup(Shape(UNKNOWN), no_training) == (3, 3, 2)
    x = np.zeros((3, 9, 6), np.uint8)
    x[:, 3:6, 2:4] = 7
    assert (step.one(x, None) == 7).all()
    assert np.array_equal(step.one(x, np.array([0.5, 0.99])), x[:, 3:6, 4:6])  # floor(7/2) = 3, floor(5 x 0.99) = 4
    with pytest.raises(DataError, match="crop: 3 x 2 is larger than a picture of 2 x 6; put resize or pad before it"):
        step.one(x[:, :2], None)
    there = make({"crop": 3, "at": [4, 4]})
    there.setup(Shape(UNKNOWN), no_training)
    with pytest.raises(DataError, match=r"crop: 3 x 3 from \[4, 4\] on is larger than a picture of 9 x 6"):
        there.one(x, None)


def test_crop_refusals() -> None:
    refuses({"crop": 3, "at": [2, 0]}, (1, 4, 5), "at", "crop: 3 x 3 from [2, 0] on leaves the image, 4 x 5")
    refuses({"crop": 3}, (1, 2, ANY_SIZE), "size", "crop: 3 x 3 is larger than the image")
    for wrong in ("middle", [1], [1, 2, 3], [-1, 0], [0.5, 1], 3):
        assert mistake({"crop": 3, "at": wrong}) == "'at' must be random, centre, or the upper left corner [y, x]"


# --- crop_resize ---
def test_crop_resize_takes_the_largest_window_of_its_shape_in_test() -> None:
    x = np.zeros((1, 1, 4, 8))
    x[:, :, :, 2:6] = 1
    assert np.allclose(apply({"crop_resize": 2}, x), 1)
    assert np.array_equal(apply({"crop_resize": [2, 4]}, x), apply({"resize": [2, 4]}, x))
    step = CropResize(size=(1, 3))
    step.setup(Shape((3, 7, 12)), no_training)
    assert step.window(7, 12, None) == (1, 0, 4, 12)


def test_crop_resize_draws_area_then_aspect_then_place() -> None:
    step = CropResize(size=(8,), area=(0.25, 0.75), aspect=(0.25, 4.0))
    step.setup(Shape((3, 100, 100)), no_training)
    assert step.window(100, 100, np.array([0.5, 0.5, 0, 0])) == (0, 0, 71, 71)  # sqrt(5000) = 70.7
    assert step.window(100, 100, np.array([0, 0, 0.5, 0.999])) == (0, 75, 100, 25)  # a = 1/4, r = 1/4: 100 x 25
    assert step.window(100, 100, np.array([0, 0.999999, 0.999, 0])) == (75, 0, 25, 100)
    assert step.window(100, 100, np.array([0.5, 0, 0, 0])) == (0, 0, 100, 50)  # a = 1/2: r from 1/2 to 2


def test_crop_resize_of_a_strip_takes_the_nearest_aspect() -> None:
    step = CropResize(size=(8,), area=(1.0, 1.0), aspect=(0.5, 2.0))
    step.setup(Shape((3, 10, 1000)), no_training)
    assert step.window(10, 1000, np.array([0.3, 0.3, 0, 0.5])) == (0, 490, 10, 20)


@settings(deadline=None)
@given(
    height=some.integers(1, 60),
    width=some.integers(1, 60),
    u=some.lists(some.floats(0, 1, exclude_max=True), min_size=4, max_size=4),
)
def test_crop_resize_stays_inside_and_keeps_its_area(height: int, width: int, u: list[float]) -> None:
    step = CropResize(size=(5, 4))
    step.setup(Shape(UNKNOWN), no_training)
    a, b, h, w = step.window(height, width, np.array(u))
    assert a >= 0 and b >= 0 and 1 <= h <= height - a and 1 <= w <= width - b
    if 0.7 < width / height < 1.4:
        share = 0.08 + u[0] * 0.92
        assert (h - 1) * (w - 1) <= share * height * width <= (h + 1) * (w + 1)
    assert step.one(np.zeros((3, height, width), np.uint8), np.array(u)).shape == (3, 5, 4)


def test_crop_resize_is_a_crop_that_is_resized() -> None:
    x = np.random.default_rng(0).standard_normal((4, 2, 20, 30)).astype(np.float32)
    drawn, step = draw(4), CropResize(size=(6,))
    y = apply({"crop_resize": 6}, x, drawn)
    step.setup(Shape(x.shape[1:]), no_training)
    for n, u in enumerate(drawn.uniform(4)):
        a, b, h, w = step.window(20, 30, u)
        assert np.array_equal(y[n], apply({"resize": 6}, x[n : n + 1, :, a : a + h, b : b + w])[0])


def test_crop_resize_refusals() -> None:
    shape = (3, 8, 8)
    refuses(
        {"crop_resize": 4, "area": [0, 1]}, shape, "area", "crop_resize: area is a share of the picture, above 0 and at most 1"
    )
    refuses({"crop_resize": 4, "area": [0.1, 2]}, shape, "area", "crop_resize: area is a share")
    refuses({"crop_resize": 4, "area": [0.9, 0.1]}, shape, "area", "crop_resize: area needs one number, or [low, high]")
    refuses({"crop_resize": 4, "aspect": [0, 1]}, shape, "aspect", "crop_resize: aspect must be above 0")
    refuses({"crop_resize": 4, "aspect": [1, 2, 3]}, shape, "aspect", "crop_resize: aspect needs one number, or [low, high]")


# --- pad ---
@pytest.mark.parametrize(("text", "expected"), [
    ({"pad": 1}, [[0, 0, 0, 0, 0], [0, 1, 2, 3, 0], [0, 4, 5, 6, 0], [0, 0, 0, 0, 0]]),
    ({"pad": [0, 1], "value": 9}, [[9, 1, 2, 3, 9], [9, 4, 5, 6, 9]]),
    ({"pad": [1, 0, 0, 2], "mode": "edge"}, [[1, 2, 3, 3, 3], [1, 2, 3, 3, 3], [4, 5, 6, 6, 6]]),
    ({"pad": [0, 3], "mode": "reflect"}, [[2, 3, 2, 1, 2, 3, 2, 1, 2], [5, 6, 5, 4, 5, 6, 5, 4, 5]]),
    ({"type": "pad", "size": [3, 4]}, [[1, 2, 3, 0], [4, 5, 6, 0], [0, 0, 0, 0]]),
    ({"type": "pad", "size": 4, "mode": "edge"}, [[1, 2, 3, 3], [1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6]]),
])  # fmt: skip
def test_pad_by_hand(text: Any, expected: Any) -> None:
    assert apply(text, [[[[1, 2, 3], [4, 5, 6]]]]).tolist() == [[expected]]


def test_pad_of_classes_and_of_pictures_of_many_sizes() -> None:
    step = make({"pad": 1, "label": 255, "value": 7})
    assert step.setup(Shape((1, 1, 1), "index"), no_training).dtype == "index"
    y = step.apply(np.array([[[[3]]]], np.int32), None)
    assert y.dtype == np.int32 and y.tolist() == [[[[255, 255, 255], [255, 3, 255], [255, 255, 255]]]]
    assert step.setup(Shape(UNKNOWN), no_training) == UNKNOWN
    square = Pad(size=(6, 8))
    assert square.setup(Shape(UNKNOWN), no_training) == (3, 6, 8)
    assert square.one(np.ones((3, 5, 2), np.uint8), None).sum() == 30
    with pytest.raises(DataError, match=r"pad: a picture of 7 x 2 is larger than 6 x 8; put \{resize: 6, side: long\} before it"):
        square.one(np.ones((3, 7, 2), np.uint8), None)


def test_pad_refusals() -> None:
    refuses({"pad": 1, "size": 9}, (1, 2, 2), "size", "pad: takes margin or size, not both")
    refuses({"pad": [1, 2, 3]}, (1, 2, 2), "margin", "pad: margin needs one number, [vertical, horizontal] or")
    refuses({"type": "pad", "size": 3}, (1, 4, 2), "size", "pad: the image, 4 x 2, is larger than 3 x 3")
    refuses({"pad": 1}, (4,), "", "pad: needs an image (C x H x W), not 4")


# --- mirror ---
def test_mirror_top_and_bottom() -> None:
    x = [[[[1, 2, 3], [4, 5, 6]]]]
    assert apply({"mirror": 1.0, "axis": "vertical"}, x, draw(1)).tolist() == [[[[4, 5, 6], [1, 2, 3]]]]
    assert apply({"mirror": 1.0, "axis": "vertical"}, x).tolist() == x
