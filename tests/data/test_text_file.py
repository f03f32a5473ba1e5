"""Plain text files: encodings, ends of lines, words, and each way in which a file can be no text."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.data import text_file
from dltrain.data.text_file import lines, pieces, words
from dltrain.errors import DataError


def whole(path: Path, encoding: Any = "utf-8") -> str:
    return "".join(pieces(path, encoding))


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refuses(path: Path, message: str, encoding: Any = "utf-8") -> None:
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: {message}")):
        whole(path, encoding)


def test_encodings_and_ends_of_lines(tmp_path: Path) -> None:
    assert whole(put(tmp_path / "a", "Maß\r\nzwei\rdrei\n".encode())) == "Maß\nzwei\ndrei\n"
    assert whole(put(tmp_path / "b", "Maß".encode("latin-1")), "latin-1") == "Maß"
    assert whole(put(tmp_path / "c", b"\xef\xbb\xbfa\xef\xbb\xbf")) == "a\ufeff"  # a mark at the start only
    assert whole(put(tmp_path / "d", gzip.compress(b"packed"))) == "packed"  # whatever its name
    assert whole(put(tmp_path / "e", b"")) == ""


@given(text=some.text(some.characters(exclude_characters="\0\r\ufeff", exclude_categories=["Cs"])), size=some.integers(1, 5))
def test_pieces_of_any_size_are_the_text(tmp_path_factory: pytest.TempPathFactory, text: str, size: int) -> None:
    path = put(tmp_path_factory.getbasetemp() / "any.txt", text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "CHUNK", size)
        assert whole(path) == text
        assert list(lines(path, "utf-8")) == text.removesuffix("\n").split("\n") * bool(text)
        assert [word for found in words(path, "utf-8", None) for word in found] == text.split()
        ended = [word for found in words(path, "utf-8", "<eos>") for word in found]
        assert ended == text.replace("\n", " <eos> ").split()


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_bad_bytes_are_named_by_their_place(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "CHUNK", size)
    path = put(tmp_path / "bad.txt", "ä€ b".encode() + b"\xe4x")
    refuses(path, "byte 7 (0xe4) is no utf-8; save the file in utf-8, or set encoding: latin-1")
    refuses(put(tmp_path / "cut.txt", "a€".encode()[:-1]), "byte 1 (0xe2) is no utf-8")


def test_what_is_no_text(tmp_path: Path) -> None:
    refuses(tmp_path / "none.txt", "there is no such file; expected a text in utf-8, plain or .gz")
    refuses(put(tmp_path / "wide.txt", "ab".encode("utf-16-le")), "holds zero bytes, as no text in utf-8 does; expected a text")
    packed = gzip.compress(b"some words" * 100)
    refuses(put(tmp_path / "short.gz", packed[:-5]), "is damaged or cut short (")
    refuses(put(tmp_path / "bad.gz", packed[:12] + b"\xff" + packed[13:]), "is damaged or cut short (")


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "long.txt", b"a" * 100)
    monkeypatch.setattr(text_file, "LONGEST", 20)
    with pytest.raises(DataError, match="line 1 has more than 20 characters; expected a sample a line"):
        list(lines(path, "utf-8"))
    with pytest.raises(DataError, match="has a word of more than 20 characters; expected words with white space between"):
        list(words(path, "utf-8", None))
    monkeypatch.setattr(text_file, "MOST", 99)
    refuses(path, "has more than 99 characters; cut it, and name the parts that are needed")
