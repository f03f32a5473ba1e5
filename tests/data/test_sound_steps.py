"""Steps for sounds: values by hand, what is drawn, what stays as it is outside training, what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import dltrain.data  # noqa: F401  fills the registry
from dltrain.checks import choose
from dltrain.errors import Refusal
from dltrain.marks import Document
from dltrain.registry import TRANSFORMS
from dltrain.source import ANY_SIZE, Draw, Shape, Step

X = np.array([[1, 2, 3, 4, 5]], np.float32)


def step(text: Any) -> Step:
    document = Document("some.yaml")
    made = choose(document, TRANSFORMS, text, (), "data: transform")
    document.raise_mistakes()
    assert isinstance(made, Step)
    return made


def none() -> Any:
    raise AssertionError("nothing is computed over the training split here")


def one(text: Any, *u: float, x: Any = X) -> Any:
    """The step over one sound; without numbers, as outside training."""
    made, before = step(text), x.copy()
    made.setup(Shape(x.shape), none)
    y = made.one(x, np.array(u) if u else None)
    assert np.array_equal(x, before)
    return y


def test_cut_by_hand() -> None:
    assert one({"cut": 3}).tolist() == [[2, 3, 4]] and one({"cut": 2}).tolist() == [[2, 3]]
    assert [one({"cut": 3}, u).tolist()[0] for u in (0.0, 0.4, 0.999)] == [[1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert one({"cut": 7}).tolist() == one({"cut": 7}, 0.9).tolist() == [[1, 2, 3, 4, 5, 0, 0]]
    assert step({"cut": 3}).setup(Shape((1, ANY_SIZE)), none) == (1, 3)


def test_shift_by_hand() -> None:
    shifts = {0.0: [3, 4, 5, 0, 0], 0.3: [2, 3, 4, 5, 0], 0.5: [1, 2, 3, 4, 5], 0.7: [0, 1, 2, 3, 4], 0.99: [0, 0, 1, 2, 3]}
    for u, expected in shifts.items():
        assert one({"shift": 2}, u).tolist() == [expected]
    assert one({"shift": 2}) is X
    assert one({"shift": 50}, 0.0).tolist() == one({"shift": 50}, 0.99).tolist() == [[0] * 5]


def test_echo_by_hand() -> None:
    assert one({"echo": 2, "decay": 1.0}, 0.5, 0.5).tolist() == [[1, 2, 3.5, 5, 6.5]]  # s 2, d 0.5
    assert one({"echo": 2}, 0.0, 0.5).tolist() == [[1, 2.25, 3.5, 4.75, 6]]  # s 1, d 0.25
    assert one({"echo": 90}, 0.9, 0.5).tolist() == X.tolist()  # it comes after the end
    assert one({"echo": 2}) is X


def test_background_is_as_loud_as_it_says() -> None:
    x = np.sin(np.arange(40000, dtype=np.float32))[None]
    for snr in (0.0, 10.0, 20.0):
        noise = one({"background": snr}, 0.3, 0.6, x=x) - x
        assert 10 * np.log10(np.square(x).mean() / np.square(noise).mean()) == pytest.approx(snr, abs=0.1)
        assert abs(noise.mean()) < 0.02
    assert one({"background": 0.0}) is X
    assert one({"background": 0.0}, 0.5, 0.5, x=np.zeros((1, 9), np.float32)).tolist() == [[0] * 9]
    assert not np.array_equal(one({"background": 0.0}, 0.3, 0.6), one({"background": 0.0}, 0.3, 0.7))


@pytest.mark.parametrize("text", [{"cut": 4}, {"shift": 2}, {"echo": 2}, {"background": 10}])
def test_a_batch_is_its_samples_whatever_else_is_in_it(text: Any) -> None:
    made = step(text)
    x = np.random.default_rng(0).standard_normal((6, 1, 9)).astype(np.float32)
    made.setup(Shape((1, 9)), none)
    whole = made.apply(x, Draw(1, "t", np.zeros(6), np.arange(6)))
    part = made.apply(x[4:], Draw(1, "t", np.zeros(2), np.array([4, 5])))
    later = made.apply(x, Draw(1, "t", np.ones(6), np.arange(6)))
    assert np.array_equal(whole[4], part[0]) and np.array_equal(whole[5], part[1])
    assert not np.array_equal(np.stack(whole), np.stack(later))
    assert all(y.dtype == np.float32 for y in whole)


@given(
    samples=some.integers(1, 12),
    size=some.integers(1, 12),
    u=some.floats(0, 1, exclude_max=True),
    v=some.floats(0, 1, exclude_max=True),
)
def test_any_sound_keeps_its_promise(samples: int, size: int, u: float, v: float) -> None:
    x = np.arange(1, 2 * samples + 1, dtype=np.float32).reshape(2, samples)
    assert one({"cut": size}, u, x=x).shape == (2, size)
    for text in ({"shift": size}, {"echo": size}, {"background": 5}):
        assert one(text, u, v, x=x).shape == x.shape


@pytest.mark.parametrize("name", ["cut", "shift", "echo", "background"])
def test_what_is_no_sound(name: str) -> None:
    for shape in (Shape((3, 8, 8)), Shape((8,)), Shape((1, 8), "index")):
        with pytest.raises(Refusal, match="^" + re.escape(f"{name}: needs a sound (C x samples), not {shape}")):
            step({name: 3}).setup(shape, none)
