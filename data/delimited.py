"""The rows of a text table (CSV and its kin), streamed: plain or gzipped, and no line, cell or file trusted for its size."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dltrain.data.numbers import NUMBER
from dltrain.errors import DataError

DELIMITERS = ",;\t|"
LONGEST = 1 << 24  # characters of a line
MOST = 100_000  # columns
CELLS = 1 << 16  # about so many are handed on together
WAY_OUT = "expected a table as text (UTF-8), a row a line"


@dataclass
class Rows:
    """Some rows, and the line on which each begins."""

    lines: list[int]
    cells: list[list[str]]


class Delimited:
    """A file: the names of its columns, then its rows, some at a time."""

    def __init__(self, path: str, delimiter: str | None = None, header: bool | None = None) -> None:
        """Without a delimiter, that of , ; tab | which cuts the first line most; `header`: whether that names the columns."""
        self.path = path
        if not os.path.isfile(path):
            raise DataError(f"{path}: there is no such file; {WAY_OUT}")
        first = next(self.told(self.texts()), "")
        if not first.strip():
            raise DataError(f"{path}: {'begins with an empty line' if first else 'is empty'}; {WAY_OUT}")
        self.delimiter = delimiter or max(DELIMITERS, key=lambda each: first.count(each) if each in first else -1)
        row = next(self.told(self.lined(self.texts())))[1]
        self.names = [name.strip() or str(place) for place, name in enumerate(row, 1)]  # pandas leaves its index without a name
        self.header = header is not False
        numbers = all(NUMBER.fullmatch(name.strip()) for name in row)
        if not self.header:
            self.names = [str(place) for place in range(1, len(row) + 1)]
        elif header is None and numbers:
            raise DataError(f"{path}: line 1 holds numbers, no names of columns; say header: false, and columns are 1, 2, 3 …")
        self.check_names()

    def check_names(self) -> None:
        if len(self.names) > MOST:
            raise DataError(f"{self.path}: has {len(self.names):,} columns; {MOST:,} are the most that can be")
        seen: dict[str, int] = {}
        for place, name in enumerate(self.names, 1):
            if name in seen:
                raise DataError(f"{self.path}: columns {seen[name]} and {place} are both called '{name[:60]}'; rename one")
            seen[name] = place

    def parts(self) -> Iterator[Rows]:
        """The rows, all as long as the header."""
        together, count = max(1, CELLS // len(self.names)), len(self.names)
        part = Rows([], [])
        for line, row in self.told(self.numbered()):
            if len(row) != count:
                unlike = f"line {line} has {len(row)} cells where line 1 has {count}"
                quoted = f"mend it, quote cells that contain '{self.delimiter}'"
                raise DataError(f"{self.path}: {unlike}; {quoted}, or say which delimiter: it is")
            part.lines.append(line)
            part.cells.append(row)
            if len(part.lines) == together:
                yield part
                part = Rows([], [])
        if part.lines:
            yield part

    def numbered(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of each row that is not empty, behind the header."""
        rows = self.lined(self.texts())
        if self.header:
            next(rows, None)
        return ((line, row) for line, row in rows if row)

    def lined(self, texts: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """(line on which it begins, cells) of each row."""
        reader = csv.reader(texts, delimiter=self.delimiter, skipinitialspace=True, strict=True)
        line = 1
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            hint = "is a quote not closed, or not doubled within a cell?"
            raise ValueError(f"line {line} cannot be taken apart ({error}): {hint}") from None

    def texts(self) -> Iterator[str]:
        """The lines; ValueError where the file holds no text."""
        with open(self.path, "rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"  # the content decides, not the name
            content: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(content, "utf-8-sig", newline="") as stream:
                number = 0
                while line := stream.readline(LONGEST):
                    number += 1
                    if "\0" in line:
                        raise ValueError(f"line {number} is no text: it has a byte 0")
                    if len(line) == LONGEST:
                        raise ValueError(f"line {number} is longer than {LONGEST:,} characters")
                    yield line

    def told(self, items: Iterator[Any]) -> Iterator[Any]:
        """What comes, with the errors of foreign files in our words."""
        try:
            yield from items
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise DataError(f"{self.path}: is no text in UTF-8 (byte 0x{byte:02x}); save it as UTF-8") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: is damaged or cut short ({error}); get the file again") from None
        except ValueError as error:
            raise DataError(f"{self.path}: {error}; {WAY_OUT}") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); make the file readable") from None
