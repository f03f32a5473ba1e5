"""Vocabularies: their order, and the file that keeps them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.data.vocabulary import by_count, load, save
from dltrain.errors import DataError


def test_the_most_frequent_come_first_and_equals_by_the_alphabet() -> None:
    assert by_count([("b", 2), ("a", 2), ("rare", 1), ("c", 5)], 2) == ["c", "a", "b"]


@given(entries=some.lists(some.text(some.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True))
def test_any_entries_come_back(tmp_path_factory: pytest.TempPathFactory, entries: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "some.vocabulary"
    save(path, entries)
    assert load(path) == entries


def test_a_list_by_hand_and_what_the_file_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text('the\n"\\n"\nit\'s\n')
    assert load(path) == ["the", "\n", "it's"]
    save(path, ["a", "\n", "ä"])
    assert path.read_text("utf-8") == '"a"\n"\\n"\n"ä"\n' and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("content", "words"), [
    ("a\nb\na\n", ":3: 'a' stands already in line 1; keep one of them"),
    ("a\n\nb\n", ":2: is empty; remove the line"),
    ('a\n"b\n', ':2: is no entry; write it plain, or as JSON, such as "\\n"'),
    ("", ": has no entries; remove the file, and it is written anew"),
])  # fmt: skip
def test_wrong_files(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "v").write_text(content)
    with pytest.raises(DataError, match="^" + re.escape(f"{tmp_path / 'v'}{words}")):
        load(tmp_path / "v")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="cannot be written .No such file or directory.; name a file in a folder that can be written to"
    ):
        save(tmp_path / "none" / "v", ["a"])
