"""Lists of files and their labels, a line each; every bad line is told with its number."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from dltrain.errors import DataError

LARGEST = 1 << 30  # bytes of a list
TOLD = 5  # bad lines that are told one by one
TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass
class Lines:
    """What a list says: for each sample its file, the number of its line, and a text for each label."""

    path: Path
    labels: list[str]
    files: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)  # one list a label

    def add(self, number: int, file: str, cells: list[str]) -> None:
        self.files.append(file)
        self.numbers.append(number)
        for column, cell in zip(self.cells, cells, strict=True):
            column.append(cell)


@dataclass
class Mistakes:
    """What is wrong with the lines of lists."""

    told: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, path: Path, number: int, words: str) -> None:
        if len(self.told) < TOLD:
            self.told.append(f"{path}:{number}: {words}")
        else:
            self.more += 1

    def settle(self) -> None:
        """One DataError for all of them."""
        if self.told:
            raise DataError("\n".join([*self.told, *([f"and {self.more:,} more bad lines"] if self.more else [])]))


def read_lines(path: Path, labels: list[str] | None, mistakes: Mistakes) -> Lines:
    """A list: CSV or TSV by its extension (with a header where `labels` is not given), else text, the labels after white space.

    Of a text the labels are the last columns, so that a path may have spaces; `labels` names them ("label" where it is None).
    """
    way_out = "expected a list of files, one a line: path label"
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file; {way_out}")
    if os.path.getsize(path) > LARGEST:
        raise DataError(f"{path}: has {os.path.getsize(path):,} bytes, more than a list may have; {way_out}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in TABLES:
                return table(path, csv.reader(file, delimiter=TABLES[path.suffix.lower()], strict=True), labels, mistakes)
            return text(path, file, ["label"] if labels is None else labels, mistakes)
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no text in UTF-8; {way_out}") from None
    except csv.Error as error:
        raise DataError(f"{path}: is no table ({error}); {way_out}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from None


def text(path: Path, file: Iterator[str], labels: list[str], mistakes: Mistakes) -> Lines:
    made = Lines(path, labels, cells=[[] for _ in labels])
    for number, line in enumerate(file, 1):
        words = line.strip().rsplit(None, len(labels)) if labels else [line.strip()]
        if len(words) == len(labels) + 1:
            made.add(number, words[0], words[1:])
        elif words:
            mistakes.add(path, number, f"has no {labels[len(words) - 1]} behind the path; write: path {' '.join(labels)}")
    return made


def table(path: Path, rows: Any, labels: list[str] | None, mistakes: Mistakes) -> Lines:
    if labels is None:
        header = [cell.strip() for cell in next(rows, ["file"])]
        check_names(f"{path}:1", header[1:])
        labels = header[1:]
    made = Lines(path, labels, cells=[[] for _ in labels])
    for row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) == len(labels) + 1 and cells[0]:
            made.add(rows.line_num, cells[0], cells[1:])
        elif any(cells):
            mistakes.add(path, rows.line_num, f"has {len(cells)} cells, or no path; expected {', '.join(['path', *labels])}")
    return made


def check_names(where: str, names: list[str]) -> None:
    """The columns are to be fields, each with a name of its own."""
    for name in names:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise DataError(f"{where}: '{name}' cannot name a column; begin the file with a header such as file,label, or name "
                            "what follows the path: labels: [label]")  # fmt: skip
        if name == "data" or names.count(name) > 1:
            raise DataError(f"{where}: the name '{name}' is taken; give the column another")


def number(cell: str) -> int | float | None:
    """A whole number, another finite one, or None."""
    if re.fullmatch("[+-]?[0-9]{1,18}", cell):
        return int(cell)
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if isfinite(value) and "_" not in cell else None


def inside(root: Path | None, path: Path) -> Callable[[str], str | None]:
    """A test of the files that a list names: what is wrong with one, or None.

    Below `root` they must stay where it is given; else they are relative to the list.  A folder is listed once, which is
    much faster than asking for each file.
    """
    base = str(root or path.parent)
    listed: dict[str, frozenset[str]] = {}

    def wrong(file: str) -> str | None:
        if "\0" in file:
            return "the path has a zero byte; mend the line"
        if root is not None and (os.path.isabs(file) or ".." in file.split("/")):
            return f"'{file}' leads out of root; leave root out, or write a path below it"
        folder, name = os.path.split(os.path.join(base, file))
        if folder not in listed:
            try:
                listed[folder] = frozenset(os.listdir(folder))
            except OSError:
                listed[folder] = frozenset()
        return None if name in listed[folder] else f"there is no file '{file}' in {base}"

    return wrong
