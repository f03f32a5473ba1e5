"""Windows cut out of pictures before the whole is made: the same numbers as of one step after another, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dltrain.catalogue  # noqa: F401
from dltrain.chain import Chain, Link
from dltrain.data.resample import resized
from dltrain.data.windows import cut, mirror
from dltrain.errors import DataError
from dltrain.ops import philox
from dltrain.ops.cpu.uniform import uniform
from dltrain.registry import TRANSFORMS
from dltrain.source import ANY_SIZE, Draw, Shape

RESIZE = [{"size": (9,), "side": "short"}, {"size": (12, 30)}, {"size": (8,), "side": "short", "mode": "nearest"},
          {"size": (20,), "side": "short", "mode": "bicubic"}, {"size": (10,), "side": "short", "mode": "area"}]  # fmt: skip
PAD = [{"margin": (3,), "value": 7.0}, {"margin": (1, 2, 5, 0), "mode": "edge"}, {"margin": (3,), "mode": "reflect"}]


def test_a_window_by_hand() -> None:
    x = np.array([[[[1, 2], [3, 4]]]], np.float32)
    y = np.empty((1, 1, 2, 4), np.float32)
    cut(x, (np.array([-1, 0, 1]), np.array([-1, 0, 1, -1])), np.array([[0, 0]]), y, 1, 9)
    assert y[0, 0].tolist() == [[9, 9, 9, 9], [9, 1, 2, 9]]
    cut(x, (np.array([0, 0, 1]), np.array([1, 0, 1, 0])), np.array([[1, 0]]), y, 1)
    assert y[0, 0].tolist() == [[2, 1, 2, 1], [4, 3, 4, 3]]


def test_pictures_mirrored_where_they_lie_by_hand() -> None:
    x = np.array([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]], np.float32)
    mirror(x, np.array([False, True]), 3)
    assert x.tolist() == [[1, 2, 3, 4, 5, 6], [3, 2, 1, 6, 5, 4]]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_window_of_a_resized_picture_is_that_of_the_whole(data: st.DataObject) -> None:
    height, width, h, w = (data.draw(st.integers(2, 40)) for _ in range(4))
    mode = data.draw(st.sampled_from(["bilinear", "bicubic", "area", "nearest"]))
    channels = data.draw(st.sampled_from([1, 2, 3, 4]))
    x = np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8).transpose(2, 0, 1)
    a, b = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    window = a, b, data.draw(st.integers(1, h - a)), data.draw(st.integers(1, w - b))
    whole = resized(x, (h, w), mode)
    part = resized(x, (h, w), mode, window)
    assert np.array_equal(part, whole[:, a : a + window[2], b : b + window[3]])
    assert np.array_equal(whole, resized(np.ascontiguousarray(x), (h, w), mode))  # however its channels lie


def chain(x: Shape, *steps: tuple[str, dict[str, Any]]) -> Chain:
    made = [TRANSFORMS[name](**keys) for name, keys in steps]
    return Chain(made, "train", {"data": x}, {}, lambda links, top: iter(()), identify=lambda index: f"picture {index}")


def one_after_another(links: list[Link], x: Any, epochs: Any, indices: Any) -> Any:
    for link in links:
        x = link.apply(x, Draw(1, f"transform {link.number} {link.step.type}", epochs, indices))
    return x


@pytest.mark.parametrize("first", [("resize", keys) for keys in RESIZE] + [("pad", keys) for keys in PAD])
@pytest.mark.parametrize("crop", [{"size": (8,)}, {"size": (8, 7), "at": "centre"}, {"size": (5,), "at": (1, 2)}])
@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
@pytest.mark.parametrize("differ", [True, False])
def test_a_chain_makes_what_its_steps_make(first: tuple[str, Any], crop: Any, axis: str, differ: bool) -> None:
    rng, epochs, indices = np.random.default_rng(0), np.arange(6) % 2, np.arange(6) * 7
    if differ:
        x: Any = [rng.integers(0, 256, (11 + n, 20 - n, 3), np.uint8).transpose(2, 0, 1) for n in range(6)]
    else:
        x = rng.random((6, 3, 11, 12), np.float32)
    shape = Shape((3, ANY_SIZE, ANY_SIZE)) if differ else Shape((3, 11, 12))
    made = chain(shape, first, ("crop", crop), ("mirror", {"axis": axis}))
    expected = one_after_another(made.links, [one.copy() for one in x] if differ else x.copy(), epochs, indices)
    y = made.run({"data": x}, 1, indices, epochs)["data"]
    assert y.dtype == np.float32
    assert np.array_equal(y, expected)


def test_label_images_of_classes_are_cut_with_their_pictures() -> None:
    labels = np.arange(2 * 6 * 6, dtype=np.int32).reshape(2, 6, 6)
    fields = {"data": Shape((1, 6, 6)), "label": Shape((6, 6), "index")}
    steps = [TRANSFORMS["pad"](margin=(2,)), TRANSFORMS["crop"](size=(6,)), TRANSFORMS["mirror"]()]
    made = Chain(steps, "train", fields, {}, lambda links, top: iter(()))
    batch = made.run({"data": labels[:, None].astype(np.float32), "label": labels.copy()}, 1, np.arange(2), np.zeros(2, int))
    assert np.array_equal(batch["data"][:, 0], batch["label"])
    assert batch["label"].dtype == np.int32


def test_a_picture_too_small_for_its_window_is_named() -> None:
    made = chain(Shape((3, ANY_SIZE, ANY_SIZE)), ("resize", {"size": (8,), "side": "long"}), ("crop", {"size": (6,)}))
    x = [np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 32), np.uint8)]
    with pytest.raises(DataError, match="picture 5: crop: 6 x 6 is larger than a picture of 2 x 8"):
        made.run({"data": x}, 1, np.array([4, 5]), np.zeros(2, int))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**20), st.integers(1, 5))
def test_numbers_drawn_together_are_those_of_each_step(index: int, epoch: int, numbers: int) -> None:
    draw = Draw(3, "transform 0", np.array([epoch, 1]), np.array([index, 2]))
    keys = [philox.key(3, "transform 0")] * numbers
    assert np.array_equal(uniform(draw.indices, draw.epochs, keys, list(range(numbers))).T, draw.uniform(numbers))
