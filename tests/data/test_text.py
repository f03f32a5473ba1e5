"""Windows of a text: what is in them, how splits and streams are cut, how symbols are numbered, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.checks import check
from dltrain.data.text import Text
from dltrain.errors import DataError, Mistakes, Refusal
from dltrain.feed import Feed
from dltrain.marks import Document
from dltrain.sections import DataKeys

SHAKESPEARE = Path(__file__).parents[2] / ".." / "shared" / "data" / "tinyshakespeare" / "input.txt.gz"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(text: str, name: str = "t.txt") -> str:
    Path(name).write_text(text, "utf-8")
    return name


def made(**keys: Any) -> Text:
    document = Document("some.yaml")
    source = check(document, Text, keys, (), "data: source (text)")
    document.raise_mistakes()
    assert isinstance(source, Text)
    return source


def opened(**keys: Any) -> Text:
    source = made(**keys)
    source.open()
    return source


def refuses(error: type[Exception], words: str, **keys: Any) -> None:
    with pytest.raises(error, match=re.escape(words)):
        opened(**keys)


def spoken(source: Text, index: int) -> tuple[str, str]:
    """The data and the label of a window in their symbols."""
    found = source.sample(index, ("data", "label"))
    join = " " if source.unit == "words" else ""
    return tuple(join.join(source.words[n] for n in np.atleast_1d(found[field])) for field in ("data", "label"))  # type: ignore[return-value]


# --- windows ---
def test_windows_and_the_symbols_after_them() -> None:
    source = opened(file=put("abcdefgh"), length=3)
    assert [spoken(source, index) for index in range(len(source))] == [("abc", "bcd"), ("def", "efg")]
    assert (
        source.words == list("abcdefgh") and source.classes == {"data": 8, "label": 8} and source.names["label"] == source.words
    )
    assert {name: (tuple(x), x.dtype) for name, x in source.fields.items()} == {"data": ((3,), "index"), "label": ((3,), "index")}
    assert source.identify(1) == "characters 3 to 5 of train"


def test_a_stride_and_the_last_symbol_only() -> None:
    source = opened(file=put("abcdefg"), length=3, stride=2, target="last")
    assert [spoken(source, index) for index in range(len(source))] == [("abc", "d"), ("cde", "f")]
    assert tuple(source.fields["label"]) == ()


def test_several_files_are_one_text() -> None:
    source = opened(file=[put("ab", "1"), put("cde", "2")], length=4)
    assert [spoken(source, 0)] == [("abcd", "bcde")]


def test_read_fills_only_what_it_is_given() -> None:
    source = opened(file=put("abcdefgh"), length=3)
    out = {"label": np.zeros((2, 3), np.int32)}
    source.read(np.array([1, 0]), out)
    assert out["label"].tolist() == [[4, 5, 6], [1, 2, 3]]


@given(text=some.text("abc\n", min_size=5, max_size=40), length=some.integers(1, 4), stride=some.integers(1, 5))
def test_every_window_is_a_piece_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, length: int, stride: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(text, newline="")
    source = opened(file=str(path), length=length, stride=stride)
    starts = [start for start in range(0, len(text), stride) if start + length < len(text)]
    assert [spoken(source, n) for n in range(len(source))] == [
        (text[s : s + length], text[s + 1 : s + length + 1]) for s in starts
    ]


# --- splits ---
def test_parts_at_the_end_of_the_text() -> None:
    source = opened(file=put("a" * 12 + "bbbb" + "cccc"), length=3, val=0.2, test=0.2, unknown=True)
    assert {split: len(rows) for split, rows in source.splits.items()} == {"train": 3, "val": 1, "test": 1}
    assert list(source.splits) == ["train", "val", "test"] and source.words == ["<unk>", "a"]  # of train alone
    assert source.identify(4) == "characters 0 to 2 of test"


def test_splits_of_their_own_files() -> None:
    source = opened(file=put("abcab"), val=put("bacba", "v"), test=[put("ca", "1"), put("bc", "2")], length=3)
    assert spoken(source, int(source.splits["val"][0])) == ("bac", "acb")
    assert spoken(source, int(source.splits["test"][0])) == ("cab", "abc")


def test_splits_that_are_too_short() -> None:
    refuses(DataError, "text: train has 3 characters, too few for a window of 3 and the symbol behind it; give it more text, or make "
            "length smaller", file=put("abc"), length=3)  # fmt: skip
    refuses(DataError, "text: val has 1 characters, too few", file=put("a" * 20), length=3, val=0.05)
    refuses(DataError, "text: train has 0 characters", file=put("a" * 20), length=3, val=0.5, test=0.6)
    refuses(DataError, "text: train has 0 words", file=put(" \n"), unit="words")
    refuses(Mistakes, "'val' must be a FILE, a list of them, or a part of the text below 1, such as 0.05", file="t.txt", val=2)


# --- symbols ---
def test_words_by_frequency() -> None:
    source = opened(file=put("the cat\nthe dog the cat\n"), unit="words", length=2)
    assert source.words == ["<unk>", "the", "cat", "dog"]
    assert spoken(source, 1) == ("the dog", "dog the")
    assert source.identify(1) == "words 2 to 3 of train"


def test_ends_of_lines_as_words_and_rare_words() -> None:
    source = opened(file=put("the cat\nthe dog\n"), unit="words", length=4, line_end=True, min_count=2)
    assert source.words == ["<unk>", "<eos>", "the"]
    assert spoken(source, 0) == ("the <unk> <eos> the", "<unk> <eos> the <unk>")


def test_symbols_that_train_has_not() -> None:
    keys = {"file": put("abcabc"), "val": put("abéa", "v.txt"), "length": 2}
    refuses(DataError, "text: 'é', at 2 of the characters of val, is not in the vocabulary of train; set unknown: true, or mend the text",
            **keys)  # fmt: skip
    assert spoken(opened(**keys, unknown=True), 2) == ("ab", "b<unk>")
    words = {"file": put("a b a b"), "val": put("a x a", "v.txt"), "length": 2, "unit": "words"}
    assert spoken(opened(**words), 1) == ("a <unk>", "<unk> a")
    refuses(DataError, "text: 'x', at 1 of the words of val, is not in", **words, unknown=False)


def test_a_vocabulary_is_written_and_read() -> None:
    keys = {"length": 2, "vocabulary": "v.jsonl"}
    first = opened(file=put("ba\nba\n"), **keys)
    assert first.words == ["\n", "a", "b"] and Path("v.jsonl").read_text() == '"\\n"\n"a"\n"b"\n'
    second = opened(file=put("aaab", "u"), **keys)
    assert second.words == first.words and spoken(second, 0) == ("aa", "aa")
    refuses(DataError, "is not in the vocabulary of v.jsonl; add <unk> to it, or mend the text", file=put("abcd", "w"), **keys)


# --- streams ---
def lanes(source: Text, rows: Any, size: int) -> tuple[list[int], list[int]]:
    """The order of the windows, and those with which a stream begins."""
    order = source.arrange(np.asarray(rows), size)
    out = {"cont": np.full((len(order), source.length), 7, np.float32)}
    source.read(order, out)
    assert np.all(out["cont"][:, 1:] == 1)
    return order.tolist(), [int(n) for n, cont in zip(order, out["cont"][:, 0], strict=True) if cont == 0]


def test_streams_side_by_side() -> None:
    source = opened(file=put("a" * 23), length=2, continues=True)
    assert len(source) == 11 and tuple(source.fields["cont"]) == (2,)
    assert lanes(source, range(11), 4) == ([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8], [0, 3, 6, 9])
    assert lanes(source, range(8), 4) == ([0, 2, 4, 6, 1, 3, 5, 7], [0, 2, 4, 6])
    assert lanes(source, range(3), 8) == ([0, 1, 2], [0, 1, 2])


def test_a_gap_begins_a_stream() -> None:
    source = opened(file=put("a" * 23), length=2, continues=True)
    assert lanes(source, [0, 1, 5, 6], 2) == ([0, 5, 1, 6], [0, 5])
    assert lanes(source, [0, 2, 3, 4], 1) == ([0, 2, 3, 4], [0, 2])


@given(windows=some.integers(1, 40), size=some.integers(1, 12))
def test_row_r_of_a_batch_goes_on_in_row_r_of_the_next(tmp_path_factory: pytest.TempPathFactory, windows: int, size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "stream.txt"
    path.write_text("a" * (2 * windows + 1))
    source = opened(file=str(path), length=2, continues=True)
    order, begins = lanes(source, range(windows), size)
    assert sorted(order) == list(range(windows)) and len(begins) == min(size, windows)
    for place, index in enumerate(order):
        assert index in begins if place < size else index == order[place - size] + 1


def test_streams_are_batches_of_a_feed() -> None:
    source = made(file=put("abcdefghijklmnopq"), length=2, continues=True, val=put("abcdefg", "v"))
    feed = Feed(DataKeys(source=source, batch_size=3, workers=None), 1)
    feed.open()
    batches = [feed.train_batch_now(number) for number in range(3)]
    assert [b["data"][:, 0].tolist() for b in batches] == [[0, 6, 12], [2, 8, 14], [0, 6, 12]]
    assert [b["cont"].tolist() for b in batches[:2]] == [[[0, 1]] * 3, [[1, 1]] * 3]
    assert [b["cont"].tolist() for b in feed.batches("val")] == [[[0, 1]] * 3]
    feed.close()


def test_windows_that_stand_alone_may_be_shuffled() -> None:
    source = opened(file=put("a" * 23), length=2)
    assert source.arrange(np.arange(11), 4) is None and "cont" not in source.fields


# --- keys ---
def test_keys_that_contradict() -> None:
    refuses(Refusal, "text: stride is 1, but windows that continue one another follow every 2 symbols; remove stride, or continues",
            file=put("abcd"), length=2, stride=1, continues=True)  # fmt: skip
    refuses(Refusal, "text: line_end is for words; among characters", file="t.txt", line_end=True)
    refuses(Refusal, "text: min_count makes rare symbols <unk>; remove unknown: false", file="t.txt", min_count=2, unknown=False)
    refuses(Mistakes, "needs 'file'; add file: …")


# --- one file for predict ---
def test_the_last_window_of_a_file() -> None:
    source = opened(file=put("abcdef"), length=3)
    assert source.load(Path(put("aabc", "p")))["data"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="^p: has 2 characters, and the net reads 3; give it a longer text"):
        source.load(Path(put("ab", "p")))
    with pytest.raises(DataError, match="^text: 'x', at 1 of the characters of p, is not in"):
        source.load(Path(put("axa", "p")))


def test_shakespeare() -> None:
    if not SHAKESPEARE.is_file():
        pytest.skip("needs ../shared/data/tinyshakespeare, which is not here")
    source = opened(file=str(SHAKESPEARE), length=50, val=0.05, continues=True)
    assert len(source.words) == 65 and spoken(source, 0)[0].startswith("First Citizen:\nBefore we proceed")
    assert {split: len(rows) for split, rows in source.splits.items()} == {"train": 21192, "val": 1115}
