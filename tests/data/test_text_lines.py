"""Lines of text with a class each: words, padding, classes, splits, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.checks import check
from dltrain.data import text_lines
from dltrain.data.text_lines import TextLines
from dltrain.errors import DataError, Mistakes
from dltrain.marks import Document

POLARITY = Path(__file__).parents[2] / ".." / "shared" / "data" / "mr_polarity"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(text: str, name: str) -> str:
    Path(name).write_text(text, "utf-8")
    return name


def opened(**keys: Any) -> TextLines:
    document = Document("some.yaml")
    source = check(document, TextLines, keys, (), "data: source (text_lines)")
    document.raise_mistakes()
    assert isinstance(source, TextLines)
    source.open()
    return source


def reviews(**keys: Any) -> TextLines:
    return opened(files={"pos": put("good film\n\na good good one\n", "pos.txt"), "neg": put("bad film\n", "neg.txt")}, **keys)


def read(source: TextLines, *indices: int) -> dict[str, list[Any]]:
    rows = [source.sample(index, tuple(source.fields)) for index in indices]
    return {field: [row[field].tolist() for row in rows] for field in source.fields}


def refuses(error: type[Exception], words: str, **keys: Any) -> None:
    with pytest.raises(error, match=re.escape(words)):
        opened(**keys)


def test_a_file_for_each_class() -> None:
    source = reviews()
    assert source.words == ["<pad>", "<unk>", "good", "film", "a", "bad", "one"] and source.labels == ["pos", "neg"]
    assert read(source, 2, 1, 0) == {"data": [[5, 3, 0, 0], [4, 2, 2, 6], [2, 3, 0, 0]], "label": [1, 0, 0], "length": [2, 4, 2]}
    assert {name: (tuple(x), x.dtype) for name, x in source.fields.items()} == {
        "data": ((4,), "index"), "label": ((), "index"), "length": ((), "index")
    }  # fmt: skip
    assert source.classes == {"label": 2, "data": 7} and source.names["label"] == ["pos", "neg"]
    assert [source.identify(n) for n in range(3)] == ["pos.txt:1", "pos.txt:3", "neg.txt:1"]


def test_a_length_cuts_and_pads() -> None:
    assert read(reviews(length=3), 0, 1) == {"data": [[2, 3, 0], [4, 2, 2]], "label": [0, 0], "length": [2, 3]}


def test_rare_words_are_unknown() -> None:
    source = reviews(min_count=2)
    assert source.words == ["<pad>", "<unk>", "good", "film"]
    assert read(source, 1)["data"] == [[1, 2, 2, 1]]


def test_bags_of_words() -> None:
    source = reviews(bag=True)
    assert tuple(source.fields["data"]) == (7,) and source.fields["data"].dtype == "float" and "data" not in source.classes
    assert read(source, 1)["data"] == [[0, 0, 2, 0, 1, 0, 1]]
    assert read(reviews(bag=True, length=1), 1) == {"data": [[0, 0, 2, 0, 1, 0, 1]], "label": [0], "length": [1]}


def test_characters() -> None:
    source = opened(files={"x": put("ab a\n", "x"), "y": put("b\n", "y")}, unit="characters")
    assert source.words == ["<pad>", "<unk>", "a", "b", " "] and read(source, 0)["data"] == [[2, 3, 4, 2]]


def test_one_file_of_labels_and_texts() -> None:
    source = opened(files=put("10\tten ten\n2\ttwo\n\n10\tten\n", "t.tsv"))
    assert source.labels == ["2", "10"] and read(source, 0, 1, 2)["label"] == [1, 0, 1]
    assert source.identify(2) == "t.tsv:4"
    refuses(DataError, "t.tsv:2: is no label<TAB>text; write the class, a tab, then the text", files=put("a\tb\nc d\n", "t.tsv"))


def test_splits_of_their_own() -> None:
    source = reviews(val=put("neg\tfilm unheard\n", "val.tsv"), test={"pos": put("one\n", "p")})
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": [0, 1, 2], "val": [3], "test": [4]}
    assert read(source, 3, 4) == {"data": [[3, 1, 0, 0], [6, 0, 0, 0]], "label": [1, 0], "length": [2, 1]}
    assert source.identify(3) == "val.tsv:1"


def test_classes_that_train_has_not() -> None:
    with pytest.raises(DataError, match="^val.tsv:2: the class 'poss' of val is not in train; did you mean 'pos'"):
        reviews(val=put("neg\ta\nposs\tb\n", "val.tsv"))


def test_a_vocabulary_file() -> None:
    words = reviews(vocabulary="v").words
    assert opened(files=put("a\tfilm of old\nb\told\n", "t"), vocabulary="v").words == words
    put("good\nbad\n", "w")
    with pytest.raises(DataError, match="^w: must begin with <pad> and <unk>, a line each; add them"):
        reviews(vocabulary="w")


def test_files_that_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(
        DataError, "e: has no lines with words; expected a sample a line", files={"x": put("a\n", "f"), "y": put(" \n\n", "e")}
    )
    refuses(Mistakes, "'files' must be a FILE of lines label<TAB>text, or a mapping {label: FILE}", files=3)
    monkeypatch.setattr(text_lines, "LARGEST", 3)
    refuses(
        DataError,
        "text_lines: a line of train has 4 words; say how many a sample has: length: 200",
        files={"x": put("a b c d", "f")},
    )


def test_a_file_for_predict() -> None:
    source = reviews(length=3)
    assert source.load(Path(put("bad\nnever film good", "p")))["data"].tolist() == [5, 1, 3]
    assert source.load(Path(put("bad", "p")))["data"].tolist() == [5, 0, 0]
    assert reviews(bag=True).load(Path(put("bad bad", "p")))["data"].tolist() == [0, 0, 0, 0, 0, 2, 0]


def test_movie_reviews() -> None:
    if not POLARITY.is_dir():
        pytest.skip("needs ../shared/data/mr_polarity, which is not here")
    files = {name: str(POLARITY / f"rt-polarity.{name}.gz") for name in ("pos", "neg")}
    source = opened(files=files, encoding="latin-1")
    assert len(source) == 10662 and np.bincount(source.label).tolist() == [5331, 5331]
    refuses(DataError, "is no utf-8; save the file in utf-8, or set encoding: latin-1", files=files)
