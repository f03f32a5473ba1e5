"""Log-mel features: the filters by hand, tones where they belong, shapes, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import dltrain.data  # noqa: F401  fills the registry
from dltrain.checks import choose
from dltrain.data.mel import Frames, LogMel, Mel, mel
from dltrain.errors import Refusal
from dltrain.marks import Document
from dltrain.registry import TRANSFORMS
from dltrain.source import ANY_SIZE, Shape


def step(text: Any) -> Mel:
    document = Document("some.yaml")
    made = choose(document, TRANSFORMS, text, (), "data: transform")
    document.raise_mistakes()
    assert isinstance(made, Mel)
    return made


def none() -> Any:
    raise AssertionError("nothing is computed over the training split here")


def test_the_scale() -> None:
    assert mel(0) == 0 and mel(700) == pytest.approx(781.1728) and mel(1000) == pytest.approx(999.9855)


def test_filters_are_triangles_with_their_peaks_evenly_apart() -> None:
    made = LogMel(Frames(mels=3, window=0.5, low=0, high=500), 1000)  # 500 samples, 512 of the transform
    f = np.arange(257) * 1000 / 512
    edges = [700 * (10 ** (mel(500) * n / 4 / 2595) - 1) for n in range(5)]
    for number, h in enumerate(made.filters):
        below, peak, above = edges[number : number + 3]
        rising, falling = (f > below) & (f <= peak), (f > peak) & (f < above)
        assert np.allclose(h[rising], ((f - below) / (peak - below))[rising], atol=1e-6)
        assert np.allclose(h[falling], ((above - f) / (above - peak))[falling], atol=1e-6)
        assert not h[~(rising | falling)].any()


def test_the_formula_written_out() -> None:
    made = LogMel(Frames(mels=2, window=0.006, hop=0.004), 1000)  # W 6, h 4, K 8
    x = np.random.default_rng(0).standard_normal(15).astype(np.float32)
    expected = np.empty((2, 3))
    for frame in range(3):
        for m in range(2):
            power = 0.0
            for k in range(5):
                angles = -2j * np.pi * k * np.arange(6) / 8
                window = (1 - np.cos(2 * np.pi * np.arange(6) / 6)) / 2
                power += made.filters[m, k] * abs(np.sum(window * x[4 * frame : 4 * frame + 6] * np.exp(angles))) ** 2
            expected[m, frame] = np.log(power + 1e-6)
    assert np.allclose(made(x), expected, atol=1e-5) and made(x).dtype == np.float32


@pytest.mark.parametrize("frequency", [300.0, 1000.0, 2500.0])
def test_a_tone_is_loudest_in_its_band(frequency: float) -> None:
    made = LogMel(Frames(mels=20), 8000)
    y = made(np.sin(2 * np.pi * frequency * np.arange(4000) / 8000).astype(np.float32))
    peaks = 700 * (10 ** (np.linspace(0, mel(4000), 22)[1:-1] / 2595) - 1)
    assert set(y.argmax(axis=0)) == {int(np.abs(peaks - frequency).argmin())}


def test_silence() -> None:
    assert np.allclose(LogMel(Frames(mels=10), 8000)(np.zeros(400, np.float32)), np.log(1e-6))


@given(samples=some.integers(1, 3000), mels=some.integers(1, 10))
def test_shapes_are_promised(samples: int, mels: int) -> None:
    made = step({"mel": mels, "rate": 8000})
    if samples < 200:
        with pytest.raises(Refusal, match=f"mel: a window of 200 samples is longer than the sound, {samples}"):
            made.setup(Shape((1, samples)), none)
        return
    promised = made.setup(Shape((1, samples)), none)
    assert made.one(np.zeros((1, samples), np.float32), None).shape == promised == (mels, (samples - 200) // 80 + 1)


def test_sounds_that_differ_in_length() -> None:
    made = step({"mel": 5, "rate": 8000})
    assert made.setup(Shape((1, ANY_SIZE)), none) == (5, ANY_SIZE)
    assert made.one(np.zeros((1, 100), np.float32), None).shape == (5, 1)  # one shorter than a window is a window
    batch = made.apply(np.ones((2, 1, 400), np.float32), None)
    assert np.array_equal(batch[0], made.one(np.ones((1, 400), np.float32), None))


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"mel": 200}, "mels", "mel: 200 bands are too many: a window has 128 frequencies; ask for fewer"),
    ({"mel": 100}, "mels", "mel: 100 bands are too many: none of the 129 frequencies of a window falls into that around 13 Hz; "
     "ask for fewer mels, or a longer window"),
    ({"mel": 5, "high": 5000}, "high", "mel: from 0 to 5000 Hz; a sound of 8000 samples a second has 0 to 4000"),
    ({"mel": 5, "low": 3000, "high": 2000}, "high", "mel: from 3000 to 2000 Hz"),
    ({"mel": 5, "window": 25}, "window", "mel: is told in seconds, such as 0.025"),
    ({"mel": 5, "hop": 25}, "hop", "mel: is told in seconds, such as 0.025"),
])  # fmt: skip
def test_keys_that_cannot_be(keys: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        step({**keys, "rate": 8000}).setup(Shape((1, 8000)), none)
    assert caught.value.key == key


def test_what_is_no_sound() -> None:
    for shape in (Shape((2, 800)), Shape((800,)), Shape((1, 800), "index")):
        with pytest.raises(Refusal, match="mel: needs a sound .1 x samples., not"):
            step({"mel": 5, "rate": 8000}).setup(shape, none)
