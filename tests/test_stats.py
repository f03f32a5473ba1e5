"""dltrain data stats: every number by hand, every fault by its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltrain.console import Console
from dltrain.errors import ConfigError, DataError
from dltrain.stats import Moments, stats


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """(what --json gives, the text) for a source or a config."""
    monkeypatch.chdir(tmp_path)

    def run(what: str, *said: str) -> tuple[Any, str]:
        stats(what, said, Console(as_json=True))
        made = json.loads(capsys.readouterr().out)
        stats(what, said, Console())
        return made, capsys.readouterr().out

    return run


def picture(path: Path, value: Any, size: tuple[int, int] = (2, 3)) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(value, np.uint8), (*size, 3)).copy()).save(path)


# --- numbers ---
def test_the_numbers_of_arrays(told: Any, tmp_path: Path) -> None:
    data = np.zeros((4, 2, 1, 2), np.float32)
    data[:, 0, 0] = [[0, 2], [4, 6], [1, 1], [3, 3]]
    data[:, 1, 0, 1] = [-1, 1, 2, np.inf]
    np.savez(tmp_path / "a.npz", data=data, label=np.array([0, 2, 0, 0]), mass=np.array([1.0, 2.0, 3.0, 6.0]))
    made, text = told("{type: arrays, file: a.npz}")
    field = made["splits"]["train"]["fields"]["data"]
    assert field["smallest"] == field["largest"] == [2, 1, 2]
    assert field["strange"] == 1  # its place is left out in both channels
    seven = np.array([0, 2, 4, 6, 1, 1, 3])
    assert field["mean"] == pytest.approx([seven.mean(), 2 / 7]) and field["std"][0] == pytest.approx(seven.std())
    assert field["min"] == [0, -1] and field["max"] == [6, 2]
    assert made["splits"]["train"]["fields"]["label"]["classes"] == {"0": 3, "2": 1}
    assert made["splits"]["train"]["fields"]["mass"]["mean"] == [3.0]
    assert "  data  2 x 1 x 2\n    channel 0  mean 2.42857" in text and "1 numbers are not finite" in text
    assert "    0  3   75.0 %  ########################\n    2  1   25.0 %  ########\n" in text


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=6), min_size=1, max_size=5), st.sampled_from([0, 1e4])
)
def test_moments_of_parts_are_those_of_the_whole(parts: list[list[float]], far: float) -> None:
    moments = Moments()
    for part in parts:
        moments.add(np.array([part]) + far)
    whole = np.concatenate([np.array(part) for part in parts]) + far
    made = moments.told()
    assert made["mean"][0] == pytest.approx(whole.mean(), rel=1e-9, abs=1e-9)
    assert made["std"][0] == pytest.approx(whole.std(), rel=1e-6, abs=1e-6)
    assert (made["min"][0], made["max"][0]) == (whole.min(), whole.max())


def test_pictures_of_different_sizes_with_names(told: Any, tmp_path: Path) -> None:
    for number, kind in enumerate(["cat", "cat", "dog"]):
        picture(tmp_path / "p" / kind / f"{number}.png", [number, 10, 20], (2 + number, 5 - number))
    made, text = told("{type: image_folder, root: p}")
    field = made["splits"]["train"]["fields"]["data"]
    assert (field["smallest"], field["largest"]) == ([3, 2, 3], [3, 4, 5])
    assert field["mean"] == pytest.approx([(0 * 10 + 1 * 12 + 2 * 12) / 34, 10, 20])
    assert "data  3 x 2 .. 4 x 3 .. 5" in text and "    cat  2   66.7 %" in text and "    dog  1   33.3 %" in text


def test_the_splits_are_those_of_the_config(told: Any, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: {source: digits, val: {hold_out: 100}, transform: [{scale: 2}]}\n")
    made, text = told("c.yaml", "data.val.hold_out=50")
    assert {split: each["samples"] for split, each in made["splits"].items()} == {"train": 1387, "val": 50, "test": 360}
    assert max(made["splits"]["train"]["fields"]["data"]["max"]) == 255  # as the source gives them, before the transform
    assert text.startswith("digits: train 1,387, test 360, val 50\n") and text.endswith(
        "no duplicates, no class missing\nnothing unreadable\n"
    )


# --- faults ---
def test_duplicates_are_named_across_splits_first(told: Any, tmp_path: Path) -> None:
    for name, value in {"train/a/1.png": 1, "train/a/2.png": 1, "train/b/3.png": 3, "test/a/4.png": 4, "test/b/5.png": 3}.items():
        picture(tmp_path / "p" / name, value)
    made, text = told("{type: image_folder, root: p}")
    assert [(group["splits"], group["samples"]) for group in made["duplicates"]] == [
        (["test", "train"], [["train", "train/b/3.png"], ["test", "test/b/5.png"]]),
        (["train"], [["train", "train/a/1.png"], ["train", "train/a/2.png"]]),
    ]
    assert "the same data in several splits: 1 group; scores will be too good\n" in text
    assert "the same data twice within a split: 1 group\n" in text
    assert "    train/b/3.png (train) = test/b/5.png (test)\n" in text


def test_a_pair_is_the_same_only_where_both_are(told: Any, tmp_path: Path) -> None:
    data = np.array([[1, 1], [1, 1], [1, 1]], np.float32)
    np.savez(tmp_path / "a.npz", data=data, other=np.array([[2, 3], [4, 5], [2, 3]], np.float32), label=np.array([0, 1, 1]))
    made, _ = told("{type: arrays, file: a.npz}")
    names = [[name.split(" of ")[0] for _, name in group["samples"]] for group in made["duplicates"]]
    assert names == [["row 0", "row 2"]]


def test_unreadable_samples_and_missing_classes_are_named(told: Any, tmp_path: Path) -> None:
    for number, name in enumerate(["train/a/1.png", "train/b/2.png", "test/a/3.png"]):
        picture(tmp_path / "p" / name, number)
    (tmp_path / "p" / "train" / "b" / "broken.png").write_bytes(b"nonsense")
    made, text = told("{type: image_folder, root: p}")
    broken = made["splits"]["train"]["unreadable"]
    assert list(broken) == ["train/b/broken.png"] and "is no picture" in broken["train/b/broken.png"]
    assert made["splits"]["train"]["samples"] == 3 and made["missing"] == {"test": {"label": ["b"]}}
    assert "  unreadable  1\n    " in text and "missing in test: label b\n" in text and "nothing unreadable" not in text


def test_many_different_numbers_are_told_by_their_ends(told: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.arange(300, dtype=np.float32)[:, None], label=np.arange(300))
    _, text = told("{type: arrays, file: a.npz}")
    assert "    300 different numbers, 0 .. 299\n" in text


def test_words_that_cannot_be_seen_are_spelt(told: Any, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("ab ab\nab ab\n" * 20)
    _, text = told("{type: text, file: t.txt, unit: characters, length: 4}")
    assert "    '\\n'  " in text and "    ' '  " in text and "      a  " in text


@pytest.mark.parametrize(("what", "kind", "words"), [
    ("digist", ConfigError, "digist: is neither a config, nor a run, nor a source; did you mean 'digits'?"),
    ("absent.yaml", ConfigError, "absent.yaml: there is no such file"),
    ("{type: arrays, fil: a.npz}", ConfigError, "unknown key 'fil'; did you mean 'file'?"),
    ("{type: arrays, file: a.npz}", DataError, "a.npz: there is no such file"),
    ("empty.yaml", ConfigError, "empty.yaml: has no data section; add data"),
])  # fmt: skip
def test_what_cannot_be_looked_at(told: Any, tmp_path: Path, what: str, kind: Any, words: str) -> None:
    (tmp_path / "empty.yaml").write_text("name: x\n")
    with pytest.raises(kind) as caught:
        told(what)
    assert words in str(caught.value)
