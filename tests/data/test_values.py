"""Clip, log, normalise, one_hot, permute and flatten: numbers worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dltrain.data  # noqa: F401  fills the registry
from dltrain.errors import DataError
from dltrain.registry import TRANSFORMS
from dltrain.source import ANY_SIZE, Draw, Shape
from tests.fixtures.steps import apply, draw, make, mistake, no_training, refuses


def test_clip_and_log() -> None:
    assert apply({"clip": [0, 2.5]}, [[-1, 1, 3]]).tolist() == [[0, 1, 2.5]]
    assert np.allclose(apply("log", [[0, np.e - 1]]), [[0, 1]], atol=1e-6)
    assert np.allclose(apply({"log": 0}, [1, np.e]), [0, 1], atol=1e-6)
    with pytest.raises(DataError, match=r"log: there is no logarithm of -3 \+ 1; a larger offset, or clip before it"):
        apply("log", [[5, -3]])
    with pytest.raises(DataError, match="log: there is no logarithm of nan"):
        apply("log", [[np.nan, 1]])


def test_normalise_by_sample_and_by_channel() -> None:
    x = [[[[1, 3]], [[10, 30]]]]
    assert np.allclose(apply({"normalise": "channel", "epsilon": 0}, x), [[[[-1, 1]], [[-1, 1]]]])
    assert np.allclose(
        apply({"normalise": "sample", "epsilon": 0}, x), (np.array(x) - 11) / np.sqrt(131.5)
    )  # 100 + 64 + 1 + 361 by 4
    assert np.allclose(apply({"normalise": "sample", "epsilon": 3}, [[-1, 1]]), [[-0.5, 0.5]])
    assert apply({"normalise": "sample", "epsilon": 0}, [[4, 4]]).tolist() == [[0, 0]]


def one_hot(text: Any, x: Any, drawn: Draw | None = None) -> Any:
    step, x = make(text), np.asarray(x, np.int32)
    promised = step.setup(Shape(x.shape[1:], "index"), no_training)
    y = step.apply(x, drawn)
    assert y.shape == (len(x), *promised) and promised.dtype == "float" and y.dtype == np.float32
    assert np.array_equal(y[0], step.one(x[0], None if drawn is None else np.empty(0)))
    return y


def test_one_hot() -> None:
    assert one_hot({"one_hot": 3, "top": "label"}, [2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot({"one_hot": 2}, [[0, 1, 1]]).tolist() == [[[1, 0], [0, 1], [0, 1]]]
    assert one_hot({"one_hot": 2}, [[[[0, 1, 1]]]]).tolist() == [[[[1, 0, 0]], [[0, 1, 1]]]]
    assert one_hot({"one_hot": 4, "smooth": 0.5}, [1]).tolist() == [[0, 1, 0, 0]]
    assert one_hot({"one_hot": 4, "smooth": 0.5}, [1], draw(1)).tolist() == [[0.125, 0.625, 0.125, 0.125]]
    with pytest.raises(DataError, match=r"one_hot: class 3 is not among 3 classes \(0 .. 2\)"):
        one_hot({"one_hot": 3}, [0, 3])
    with pytest.raises(DataError, match="one_hot: class -1 is not among 3 classes"):
        one_hot({"one_hot": 3}, [0, -1])


def test_axes() -> None:
    x = np.arange(6).reshape(1, 1, 2, 3)
    assert apply({"permute": [2, 0, 1]}, x).tolist() == [[[[0, 3]], [[1, 4]], [[2, 5]]]]
    assert apply("flatten", x).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert make("flatten").setup(Shape((2, 3), "index"), no_training).dtype == "index"
    assert make({"permute": [1, 0]}).setup(Shape((2, ANY_SIZE), "index"), no_training) == (ANY_SIZE, 2)


def test_refusals() -> None:
    refuses({"one_hot": 3}, (3,), "top", "one_hot: needs classes (whole numbers); name the field of the labels as top")
    refuses(
        {"one_hot": 3},
        Shape((2, 3, 4), "index"),
        "",
        "one_hot: needs one class, a row of them or an image (H x W), not 2 x 3 x 4",
    )
    refuses({"permute": [0, 0]}, (2, 3), "axes", "permute: axes must be the numbers 0 .. 1 in some order, for 2 x 3")
    refuses("flatten", (3, ANY_SIZE, 2), "", "flatten: needs samples of one size; put resize, crop or pad before it")
    refuses("normalise", (), "over", "normalise: of one number nothing would be left")
    refuses({"normalise": "channel"}, (3,), "over", "normalise: of 3 nothing would be left")
    refuses({"clip": [0, 1]}, Shape((), "index"), "top", "clip: cannot be done with classes")
    assert mistake({"clip": [1, 0]}) == "'range' must be [low, high], low below high"
    assert mistake({"clip": 3}) == "'range' must be [low, high]"
    assert mistake({"one_hot": 1}) == "'classes' must be at least 2, not 1"


def test_one_hot_of_label_images_puts_the_classes_first() -> None:
    step = TRANSFORMS["one_hot"](classes=3)
    for shape in ((2, 2), (1, 2, 2)):
        assert step.setup(Shape(shape, "index"), lambda: iter(())) == (3, 2, 2)
        y = step.apply(np.array([[0, 1], [2, 1]], np.int32).reshape(1, *shape), None)
        assert y[0].tolist() == [[[1, 0], [0, 0]], [[0, 1], [0, 1]], [[0, 0], [1, 0]]]
