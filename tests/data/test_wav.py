"""A folder of sounds: classes, facts and splits by folders and by names, lengths and rates, what is refused."""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.checks import check
from dltrain.data.mel import Frames, LogMel
from dltrain.data.wav import WavFolder
from dltrain.errors import DataError, Mistakes, Refusal
from dltrain.feed import Feed
from dltrain.marks import Document
from dltrain.sections import DataKeys, Part
from dltrain.source import ANY_SIZE

DIGITS = Path(__file__).parents[2] / ".." / "shared" / "data" / "fsdd" / "recordings"
BY_NAME = "{label}_{speaker}_{take:int}.wav"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(name: str, samples: Any = (0,), rate: int = 8000) -> None:
    """A file of 16 bits; the samples count 1/64."""
    path = Path("root") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.array(samples) * 512).astype("<i2").tobytes())


def made(**keys: Any) -> WavFolder:
    document = Document("some.yaml")
    source = check(document, WavFolder, {"root": "root", **keys}, (), "data: source (wav_folder)")
    document.raise_mistakes()
    assert isinstance(source, WavFolder)
    return source


def opened(**keys: Any) -> WavFolder:
    source = made(**keys)
    source.open()
    return source


def heard(source: WavFolder, index: int) -> list[float]:
    found: list[float] = (source.sample(index, ("data",))["data"][0] * 64).tolist()
    return found


def refuses(error: type[Exception], words: str, **keys: Any) -> None:
    with pytest.raises(error, match=re.escape(words)):
        opened(**keys)


# --- classes and splits ---
def test_a_folder_for_each_class() -> None:
    for name in ("dog/b.wav", "cat/2.WAV", "cat/deep/1.wav", "dog/.hidden.wav", ".trash/x.wav", "cat/notes.txt"):
        put(name)
    source = opened()
    assert [source.identify(n) for n in range(len(source))] == ["cat/2.WAV", "cat/deep/1.wav", "dog/b.wav"]
    assert [int(source.sample(n, ("label",))["label"]) for n in range(3)] == [0, 0, 1]
    assert source.names == {"label": ["cat", "dog"]} and source.classes == {"label": 2} and source.facts == {}
    assert {name: (tuple(x), x.dtype) for name, x in source.fields.items()} == {
        "data": ((1, ANY_SIZE), "float"),
        "label": ((), "index"),
    }


def test_folders_of_splits() -> None:
    for name in ("train/a/1.wav", "train/b/1.wav", "test/b/1.wav"):
        put(name)
    source = opened()
    assert {split: rows.tolist() for split, rows in source.splits.items()} == {"train": [0, 1], "test": [2]}
    assert source.label.tolist() == [0, 1, 1]
    put("test/c/1.wav")
    refuses(DataError, "test/c/1.wav: its class, c, is not in train; known: a, b")


def test_classes_and_facts_by_names() -> None:
    for name in ("2_ann_0.wav", "10_bob_7.wav", "2_bob_1.wav"):
        put(name)
    source = opened(files=BY_NAME)
    assert source.names["label"] == ["10", "2"] and source.label.tolist() == [0, 1, 1]
    assert source.facts == {"speaker": ["bob", "ann", "bob"], "take": [7, 0, 1]}
    assert opened(files=BY_NAME.replace("label", "label:int")).names["label"] == ["2", "10"]


def test_what_is_known_of_a_sample_makes_splits() -> None:
    for speaker in ("ann", "bob"):
        for take in range(4):
            put(f"1_{speaker}_{take}.wav")
    feed = Feed(DataKeys(source=made(files=BY_NAME, length=2), batch_size=2, val=Part(where="take < 2 and speaker == 'ann'")), 1)
    feed.open()
    assert [feed.source.identify(n) for n in feed.splits["val"]] == ["1_ann_0.wav", "1_ann_1.wav"] and len(
        feed.splits["train"]
    ) == 6
    feed.close()


# --- sound ---
def test_a_length_takes_the_middle_or_adds_zeros() -> None:
    put("a/1.wav", [1, 2, 3, 4, 5])
    put("b/1.wav", [7, 8])
    assert [heard(opened(), n) for n in range(2)] == [[1, 2, 3, 4, 5], [7, 8]]
    assert [heard(opened(length=3), n) for n in range(2)] == [[2, 3, 4], [7, 8, 0]]
    assert [heard(opened(length=4), n) for n in range(2)] == [[1, 2, 3, 4], [7, 8, 0, 0]]
    assert tuple(opened(length=3).fields["data"]) == (1, 3)


def test_rates() -> None:
    put("a/1.wav", [0, 8, 16, 24], 8000)
    put("b/1.wav", [0, 8, 16], 4000)
    source = opened()
    assert heard(source, 0) == [0, 8, 16, 24]  # the rate of the first file
    with pytest.raises(
        DataError, match="^root/b/1.wav: has 4,000 samples a second, not 8,000; set rate and resample: true, or put the"
    ):
        source.sample(1, ("data",))
    with pytest.raises(DataError, match="^root/a/1.wav: has 8,000 samples a second, not 4,000"):
        opened(rate=4000).sample(0, ("data",))
    source = opened(rate=4000, resample=True)
    assert [heard(source, n) for n in range(2)] == [[0, 16], [0, 8, 16]]
    assert heard(opened(rate=4000, resample=True, length=1), 0) == [0]
    refuses(Refusal, "wav_folder: resample needs rate, the samples a second to make; add rate: 16000", resample=True)


def test_a_label_is_known_without_its_sound() -> None:
    put("a/1.wav")
    put("b/1.wav")
    source = opened(rate=8000)
    Path("root/b/1.wav").write_bytes(b"no sound at all")
    assert source.sample(1, ("label",)) == {"label": 1}
    with pytest.raises(DataError, match="^root/b/1.wav: is no WAV file"):
        source.sample(1, ("data",))


def test_features() -> None:
    samples = np.random.default_rng(0).integers(-60, 60, 500)
    put("a/1.wav", samples)
    source = opened(features={"mels": 6, "high": 3000}, length=400)
    expected = LogMel(Frames(mels=6, high=3000), 8000)((samples[50:450] / 64).astype(np.float32))
    assert tuple(source.fields["data"]) == (6, 3) and np.array_equal(source.sample(0, ("data",))["data"], expected)
    assert tuple(opened(features="log_mel", rate=8000).fields["data"]) == (40, ANY_SIZE)
    assert np.array_equal(source.load(Path("root/a/1.wav"))["data"], expected)


# --- what is refused ---
def test_folders_without_sounds() -> None:
    refuses(DataError, "root: there is no such folder; set root to the folder of the sounds")
    Path("root").mkdir()
    refuses(DataError, "root: has no .wav files; set root to the folder of the sounds")
    put("lone.wav")
    refuses(DataError, "root: lone.wav is in no folder of a class; make one for each class, or say where the class stands in the names: "
            'files: "{label}_{take:int}.wav"')  # fmt: skip


def test_names_that_do_not_fit_the_pattern() -> None:
    put("1_ann_0.wav")
    put("noise.wav")
    refuses(DataError, "root: 1 of 2 .wav files, such as noise.wav, are not named as files says, {label}_{speaker}_{take:int}.wav; "
            "mend it, or put them elsewhere", files=BY_NAME)  # fmt: skip


def test_keys() -> None:
    put("a/1.wav")
    refuses(Mistakes, "'files' has no {label}; did you mean 'lable'?", files="{lable}.wav")
    refuses(Mistakes, "'features.type' cannot be 'mfcc'; known: log_mel", features="mfcc")
    refuses(Mistakes, "unknown key 'mles'; did you mean 'mels'?", features={"mles": 3})
    refuses(Refusal, "wav_folder: features: mel: 500 bands are too many", features={"mels": 500})
    refuses(Refusal, "wav_folder: length 100 is less than a window of 200 samples", features="log_mel", length=100)


def test_spoken_digits() -> None:
    if not DIGITS.is_dir():
        pytest.skip("needs ../shared/data/fsdd, which is not here")
    source = opened(root=str(DIGITS), files=BY_NAME, rate=8000)
    assert len(source) == 300 and source.classes == {"label": 10} and len(set(source.facts["speaker"])) == 6
    assert sum(take < 5 for take in source.facts["take"]) == 60
    assert sum(source.sample(n, ("data",))["data"].shape[1] for n in range(300)) / 8000 == pytest.approx(130.7, abs=0.05)
