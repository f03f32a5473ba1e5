"""Transform steps: values worked by hand, properties over many shapes, and the words of each refusal."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import dltrain.data  # noqa: F401  fills the registry
from dltrain.checks import choose
from dltrain.data.geometry import Crop, Mirror
from dltrain.data.resize import Resize
from dltrain.data.statistics import Mean
from dltrain.data.values import Scale
from dltrain.errors import Refusal
from dltrain.marks import Document
from dltrain.registry import TRANSFORMS
from dltrain.source import Draw, Shape, Step


def make(text: Any) -> Step:
    """The step that a line of YAML stands for."""
    document = Document("some.yaml")
    step = choose(document, TRANSFORMS, text, (), "data: transform")
    document.raise_mistakes()
    assert isinstance(step, Step)
    return step


def mistakes(text: Any) -> list[str]:
    document = Document("some.yaml")
    assert choose(document, TRANSFORMS, text, (), "data: transform") is None
    return [message.split(": ", 3)[-1] for message in document.mistakes.values()]


def no_training() -> Any:
    raise AssertionError("nothing is computed over the training split here")


def images(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def draw(count: int, seed: int = 1, epoch: int = 0) -> Draw:
    return Draw(seed, "transform 0", np.full(count, epoch), np.arange(count))


def apply(step: Step, x: Any, drawn: Draw | None = None) -> Any:
    """What the step makes of a batch, after holding it to its promises: shape, type, and x left as it was."""
    x = np.asarray(x, np.float32)
    before = x.copy()
    promised = step.setup(Shape(x.shape[1:]), no_training)
    y = step.apply(x, drawn)
    assert y.shape == (len(x), *promised) and y.dtype == np.float32
    assert np.array_equal(x, before)
    return y


def refuses(step: Step, shape: Any, key: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        step.setup(shape if isinstance(shape, Shape) else Shape(shape), no_training)
    assert caught.value.key == key


sides = some.integers(1, 9)
shapes = some.tuples(some.integers(1, 4), some.integers(1, 3), sides, sides)


# --- how they are written ---
@pytest.mark.parametrize(("text", "expected"), [
    ({"resize": 32}, Resize(size=(32,))),
    ({"resize": [3, 4], "mode": "nearest"}, Resize(size=(3, 4), mode="nearest")),
    ({"crop": 28, "phase": "train", "top": "data"}, Crop(size=(28,), phase="train", top="data")),
    ("mirror", Mirror()),
    ({"mirror": True}, Mirror(probability=0.5)),
    ({"mirror": 1}, Mirror(probability=1.0)),
    ({"scale": 2}, Scale(value=2.0)),
    ({"mean": 128}, Mean(value=(128.0,))),
    ({"mean": [104, 117.5, 123]}, Mean(value=(104.0, 117.5, 123.0))),
    ({"mean": "channel"}, Mean(value="channel")),
    ({"type": "mean", "value": "image"}, Mean(value="image")),
])  # fmt: skip
def test_written(text: Any, expected: Step) -> None:
    made = make(text)
    assert made.type == expected.type
    assert made == expected


@pytest.mark.parametrize(("text", "words"), [
    ({"resize": 0}, "'size' must be at least 1, not 0"),
    ({"resize": 2.5}, "'size' must be a whole number, not 2.5"),
    ({"resize": 8, "mode": "cubic"}, "'mode' cannot be 'cubic'; did you mean 'bicubic'?"),
    ("resize", "needs 'size'; add size: …"),
    ({"mirror": 1.5}, "'probability' must be at most 1, not 1.5"),
    ({"mirror": False}, "'probability' must be a number, not false"),
    ({"scale": "2"}, "'value' must be a number, not '2'; remove the quotes"),
    ({"mean": "median"}, "'value' must be a number, a list of one number a channel, image or channel"),
    ({"mean": []}, "'value' must be a number, a list of one number a channel, image or channel"),
    ({"mean": [1, "2"]}, "'value' must be a number, a list of one number a channel, image or channel"),
    ({"mean": 10**400}, "'value' must be a number, a list of one number a channel, image or channel"),
    ({"crop": 28, "phase": "tset"}, "'phase' cannot be 'tset'; did you mean 'test'?"),
])  # fmt: skip
def test_written_wrong(text: Any, words: str) -> None:
    assert mistakes(text)[0] == words


# --- crop ---
def test_crop_takes_the_centre_in_test() -> None:
    x = np.arange(20).reshape(1, 1, 4, 5)
    assert apply(make({"crop": 2}), x).tolist() == [[[[6, 7], [11, 12]]]]  # from (floor(2 / 2), floor(3 / 2)) = (1, 1)
    assert apply(make({"crop": [3, 5]}), x).tolist() == [[[[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]]]


def test_crop_follows_the_draw() -> None:
    x, drawn = images(6, 2, 7, 9), draw(6)
    y = apply(Crop(size=(4, 3)), x, drawn)
    u = drawn.uniform(2)
    for n in range(6):
        a, b = int(u[n, 0] * 4), int(u[n, 1] * 7)
        assert np.array_equal(y[n], x[n, :, a : a + 4, b : b + 3])


@given(shape=shapes, data=some.data(), seed=some.integers(0, 1000))
def test_crop_stays_inside(shape: tuple[int, ...], data: some.DataObject, seed: int) -> None:
    size = data.draw(some.tuples(some.integers(1, shape[2]), some.integers(1, shape[3])))
    places = np.broadcast_to(np.arange(shape[2] * shape[3]).reshape(shape[2:]), shape)
    for drawn in (None, draw(shape[0], seed)):
        y = apply(Crop(size=size), places, drawn).astype(int)
        rows, columns = y // shape[3], y % shape[3]
        assert (np.diff(rows, axis=2) == 1).all() and (np.diff(columns, axis=3) == 1).all()  # one piece, not wrapped around


def test_crop_reaches_every_place_and_both_ways_apart() -> None:
    places = np.broadcast_to(np.arange(12).reshape(3, 4), (600, 1, 3, 4))
    corners = apply(Crop(size=(2,)), places, draw(600))[:, 0, 0, 0]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 2, 4, 5, 6] and counts.min() > 60


# --- mirror ---
def test_mirror_by_hand() -> None:
    x = [[[[1, 2, 3], [4, 5, 6]]]]
    assert apply(make({"mirror": 1.0}), x, draw(1)).tolist() == [[[[3, 2, 1], [6, 5, 4]]]]
    assert apply(make({"mirror": 0.0}), x, draw(1)).tolist() == x
    assert apply(make({"mirror": 1.0}), x).tolist() == x


@given(shape=shapes, probability=some.floats(0, 1), seed=some.integers(0, 1000))
def test_mirror_twice_changes_nothing(shape: tuple[int, ...], probability: float, seed: int) -> None:
    x, step, drawn = images(*shape), Mirror(probability=probability), draw(shape[0], seed)
    assert np.array_equal(apply(step, apply(step, x, drawn), drawn), x)


def test_mirror_turns_its_share() -> None:
    x = np.broadcast_to(np.array([0.0, 1.0]), (2000, 1, 1, 2))
    assert apply(Mirror(probability=0.25), x, draw(2000))[:, 0, 0, 0].mean() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("step", [Crop(size=(3,)), Mirror()])
def test_random_steps_depend_on_sample_and_epoch_alone(step: Step) -> None:
    x = images(40, 1, 6, 6)
    whole = apply(step, x, draw(40))
    some = np.array([31, 2, 17])
    assert np.array_equal(apply(step, x[some], Draw(1, "transform 0", np.zeros(3), some)), whole[some])
    assert not np.array_equal(apply(step, x, draw(40, epoch=1)), whole)
    assert not np.array_equal(apply(step, x, draw(40, seed=2)), whole)
    assert not np.array_equal(apply(step, x, Draw(1, "transform 1", np.zeros(40), np.arange(40))), whole)


# --- scale and mean ---
def test_scale() -> None:
    assert apply(make({"scale": 0.5}), [[1, 2], [3, -4]]).tolist() == [[0.5, 1], [1.5, -2]]
    assert apply(make({"scale": 0.5}), [1, 2]).tolist() == [0.5, 1]


def test_mean_of_one_number_and_of_channels() -> None:
    x = np.arange(8).reshape(1, 2, 2, 2)
    assert apply(make({"mean": 1}), x).tolist() == [[[[-1, 0], [1, 2]], [[3, 4], [5, 6]]]]
    assert apply(make({"mean": [1, 4]}), x).tolist() == [[[[-1, 0], [1, 2]], [[0, 1], [2, 3]]]]
    assert apply(make({"mean": [1, 4]}), [[1, 2]]).tolist() == [[0, -2]]
    assert apply(make({"mean": 3}), [1, 2]).tolist() == [-2, -1]
    assert make({"mean": 1}).state() == {}


@pytest.mark.parametrize(("value", "expected"), [
    ("image", [[[2, 3], [4, 5]], [[6, 7], [8, 9]]]),
    ("channel", [[[3.5]], [[7.5]]]),
])  # fmt: skip
def test_mean_over_the_training_split(value: str, expected: Any) -> None:
    step, calls = make({"mean": value}), []
    first = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    training = np.stack([first, first + 4])  # the second is larger by 4 everywhere, so the mean is the first plus 2

    def once() -> Any:
        calls.append(1)
        return iter([training[:1], training[1:]])

    for _ in ("train", "test"):
        assert step.setup(Shape((2, 2, 2)), once) == (2, 2, 2)
    assert calls == [1]
    state = step.state()
    assert state["mean"].tolist() == expected and state["mean"].dtype == np.float32
    again = make({"mean": value})
    again.restore(state)
    again.setup(Shape((2, 2, 2)), no_training)
    assert np.array_equal(again.apply(training, None), training - np.array(expected))
    assert again.state()["mean"].tolist() == expected


@pytest.mark.parametrize("value", ["image", "channel"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (2, 3, 4)])
def test_mean_of_any_shape(value: str, shape: tuple[int, ...]) -> None:
    step, x = Mean(value=value), images(50, *shape)
    step.setup(Shape(shape), lambda: iter([x[:20], x[20:]]))
    y = step.apply(x, None)
    assert y.shape == x.shape and y.dtype == np.float32
    axes = 0 if value == "image" else (0, *range(2, x.ndim))
    assert np.allclose(y.mean(axis=axes), 0, atol=1e-6)


def test_mean_of_many_large_numbers_does_not_drift() -> None:
    step = Mean(value="channel")
    step.setup(Shape((1,)), lambda: iter([np.full((1_000_000, 1), 100.1, np.float32)] * 3))
    assert step.state()["mean"][0] == np.float32(100.1)


# --- refusals ---
def test_refusals() -> None:
    refuses(Crop(size=(9,)), (1, 8, 12), "size", "crop: 9 x 9 is larger than the image, 8 x 12; resize it first")
    refuses(Crop(size=(9,)), (), "", "crop: needs an image (C x H x W), not one number")
    refuses(Mirror(), (8, 8), "", "mirror: needs an image (C x H x W), not 8 x 8")
    refuses(
        Scale(value=2.0), Shape((), "index"), "top", "scale: cannot be done with classes; name a field of measured numbers as top"
    )
    refuses(Mean(value=(1.0,)), Shape((), "index"), "top", "mean: cannot be done with classes")
    refuses(Mean(value=(1.0, 2.0)), (3, 8, 8), "value", "mean: has 2 numbers for 3 channels")


def test_a_mean_of_another_shape_is_refused() -> None:
    step = Mean(value="image")
    step.restore({"mean": np.zeros((1, 28, 28), np.float32)})
    refuses(step, (1, 32, 32), "", "mean: computed for 1 x 28 x 28, but this field is 1 x 32 x 32")
