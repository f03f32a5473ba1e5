"""The columns of a table as they are gathered, part by part: numbers, words, and blocks of many columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from dltrain.data.numbers import numbers, smallest

WORDS = 64 << 20  # characters of different words that a column may have
TOLD = 5  # cells that are no numbers, in one message


class Wrong:
    """Cells that are no numbers."""

    def __init__(self) -> None:
        self.count, self.told = 0, list[str]()

    def add(self, path: str, line: int, column: str, cell: str) -> None:
        self.count += 1
        if len(self.told) < TOLD:
            self.told.append(f"{path}: line {line}, column '{column[:60]}': '{cell.strip()[:40]}' is no number")


class Column:
    """One column: numbers, until a cell is none; then words, and the table must be read once more for those gone by.

    values   float64, or places in `words`; -1 and NaN where a cell is missing
    """

    def __init__(self, name: str, missing: frozenset[str], words: bool = False) -> None:
        self.name, self.missing = name, missing
        self.is_words, self.again, self.lost = words, False, False
        self.places: dict[str, int] = {}
        self.characters = 0
        self.parts: list[Any] = []
        self.values: Any = None

    def add(self, cells: list[str]) -> int:
        """Takes the next cells; how many bytes they are kept in."""
        if self.again or self.lost:
            return 0
        if not self.is_words:
            found = numbers(cells, self.missing)
            if found.wrong:
                self.again = True
                return 0
            self.parts.append(found.values)
        else:
            self.parts.append(np.fromiter(map(self.place, cells), np.int32, len(cells)))
            self.lost = self.characters > WORDS
        return int(self.parts[-1].nbytes)

    def place(self, cell: str) -> int:
        """The number of a word, in the order in which they came; -1 for a missing one."""
        word = cell.strip()
        found = self.places.get(word)
        if found is None:
            if word.lower() in self.missing:
                return -1
            found = self.places[word] = len(self.places)
            self.characters += len(word)
        return found

    def settle(self) -> None:
        self.values, self.parts = np.concatenate(self.parts), []
        if not self.is_words:
            self.values = smallest(self.values)

    @property
    def words(self) -> list[str]:
        return list(self.places)

    @property
    def absent(self) -> Any:
        """Which cells are missing."""
        return self.values < 0 if self.is_words else np.isnan(self.values)

    def fact(self) -> Sequence[Any]:
        return Words(self.values, [*self.words, ""]) if self.is_words else Values(self.values)


class Block:
    """Many columns of numbers as one array: `values` (N, columns) float32, NaN where a cell is missing."""

    def __init__(self, names: list[str], missing: frozenset[str]) -> None:
        self.names, self.missing = names, missing
        self.values: Any = np.empty((0, len(names)), np.float32)
        self.count = 0
        self.absent: Any = None

    def add(self, path: str, places: list[int], lines: list[int], rows: list[list[str]], wrong: Wrong) -> int:
        """Takes the next rows, of which it is the columns at `places`; how many bytes they are kept in."""
        if len(places) == 1:
            cells = [row[places[0]] for row in rows]
        else:
            cells = list(chain.from_iterable(map(itemgetter(*places), rows)))
        found = numbers(cells, self.missing)
        for at in found.wrong:
            wrong.add(path, lines[at // len(places)], self.names[at % len(places)], cells[at])
        if wrong.count:
            return 0
        end = self.count + len(rows)
        if end > len(self.values):  # grown in place: twice the memory at the end would be too much
            self.values.resize((end + end // 4, len(places)), refcheck=False)
        with np.errstate(over="ignore"):
            self.values[self.count : end] = found.values.reshape(len(rows), len(places))
        self.count = end
        return len(rows) * len(places) * 4

    def settle(self) -> None:
        self.values.resize((self.count, len(self.names)), refcheck=False)

    def fill(self, value: float) -> Any:
        """Puts a number where cells are missing; which they are."""
        self.absent = np.isnan(self.values)
        self.values[self.absent] = value
        return self.absent

    def facts(self) -> dict[str, Sequence[Any]]:
        return {name: Values(self.values[:, place], self.absent[:, place]) for place, name in enumerate(self.names)}


class Values(Sequence[Any]):
    """Numbers as a person wrote them: a float32 0.1 is 0.1 again."""

    def __init__(self, values: Any, absent: Any = None) -> None:
        self.values, self.absent = values, absent

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        value = self.values[index]
        if self.absent is not None and self.absent[index]:
            return float("nan")
        return int(value) if value.dtype.kind == "i" else float(str(value))


class Words(Sequence[Any]):
    """Words by their places; the last of them stands for a missing one."""

    def __init__(self, places: Any, words: list[str]) -> None:
        self.places, self.words = places, words

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self.words[self.places[index]]
