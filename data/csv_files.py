"""Tables: CSV files, the columns of which become tops of numbers and of classes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from dltrain.data.columns import Column
from dltrain.data.delimited import Delimited
from dltrain.data.numbers import NUMBER
from dltrain.data.table import Table
from dltrain.errors import DataError, did_you_mean
from dltrain.fields import Finite, one_or_more, some
from dltrain.source import Arrays, Shape, Source, source

MISSING = ("", "?", "NA", "N/A", "nan", "null")
MOST = 2**31 - 1  # what an index field holds
SPLITS = ("train", "val", "test")
ALL = "*"


def written(value: Any) -> Any:
    """A name, or a number as one: columns without a header are called 1, 2, 3."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


def all_written(value: Any) -> Any:
    return tuple(written(each) for each in some(value))


def topped(value: Any) -> Any:
    """tops: {age: age} as {age: {columns: age}}"""
    return value if isinstance(value, dict) else {"columns": value}


_WORD: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "number"}]}
Word = Annotated[str, BeforeValidator(written), WithJsonSchema(_WORD)]
Words = Annotated[tuple[str, ...], BeforeValidator(all_written), one_or_more(_WORD)]
Delimiter = Annotated[str, Field(min_length=1, max_length=1)]


@dataclass(kw_only=True)
class Top:
    """One top of a table.

    columns   one: a number a sample; several: a vector
    type      float; index: whole numbers as they are; category: the different values, sorted, as 0, 1, 2 …
    fill      what stands for a missing value: a number, or a class (of its own, where it is none of the others)
    """

    columns: Words
    type: Literal["float", "index", "category"] | None = None
    fill: Word | None = None


_TOP = {
    "type": "object", "required": ["columns"], "additionalProperties": False,
    "properties": {"columns": {}, "type": {"enum": ["float", "index", "category"]}, "fill": _WORD},
}  # fmt: skip
_SCHEMA = WithJsonSchema({"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}, _TOP]})


@source("csv")
class CsvFiles(Source):
    """A table as text, with the names of its columns in line 1; plain or .gz, read into memory once.

    file: T.csv                 everything is train, or a column says the split: split: COLUMN (train, val, test)
    train, val, test: T.csv     own splits, with the same columns

    data: [A, B] or "*"         a float vector of columns; "*" (where no tops are said): all that are not used otherwise
    label: C                    words are classes 0, 1, 2 … in their order; whole numbers from 0 on are the classes themselves;
                                other numbers stay numbers
    tops: {age: A, …}           further tops, each of a column, a list of columns, or {columns: …, type: …, fill: …}

    A missing cell (`missing`) becomes `fill` among numbers, and class -1 among classes, unless the top has a `fill` of its own.
    A top with missing cells has another beside it, NAME.present, 1 where a value is there and 0 where it is filled in.
    """

    paths: ClassVar[tuple[str, ...]] = ("file", *SPLITS)

    file: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    split: Word | None = None
    data: Words | None = None
    label: Word | None = None
    tops: dict[str, Annotated[Top, BeforeValidator(topped), _SCHEMA]] = field(default_factory=dict)
    fill: Finite = 0.0
    missing: Words = MISSING
    delimiter: Delimiter | None = None
    header: bool | None = None

    def open(self) -> None:
        said = {split: path for split in SPLITS if (path := getattr(self, split)) is not None}
        if (self.file is None) == ("train" not in said) or (self.file is not None and said):
            raise DataError("csv: needs file: T.csv, or train: T.csv with val and test beside it; not both, and one of them")
        if self.split is not None and said:
            raise DataError("csv: split names a column of file:; beside train: it says nothing")
        files = {"train": self.file} if self.file is not None else said
        self.files = {split: Delimited(path, self.delimiter, self.header) for split, path in files.items()}
        self.blocks, self.singles = self.roles(next(iter(self.files.values())).names)
        table = Table(list(self.files.values()), self.missing_words)
        table.read(self.blocks, self.singles, self.worded)
        self.starts = np.cumsum([0, *table.counts])
        self.splits = {split: np.arange(*self.starts[at : at + 2]) for at, split in enumerate(self.files)}
        if self.split is not None:
            self.divide(table.columns[self.split])
        self.fields, self.classes, self.names = {}, {}, {}
        self.arrays: Arrays = {}
        for name, top in self.said.items():
            self.make(name, top, table)
        self.facts = {re.sub(r"\W", "_", name): values for name, values in table.facts().items()}

    @property
    def worded(self) -> set[str]:
        """The columns whose cells are words from the beginning, even where all look like numbers: 007 stays 007."""
        said = {column for top in self.said.values() if top.type == "category" for column in top.columns}
        return said | ({self.split} if self.split is not None else set())

    @property
    def missing_words(self) -> frozenset[str]:
        return frozenset(word.strip().lower() for word in self.missing)

    def roles(self, columns: list[str]) -> tuple[dict[str, list[str]], set[str]]:
        """(top -> columns of those that are blocks of numbers, the other columns that tops need), from what the config says."""
        data = self.data if self.data is not None or self.tops else (ALL,)
        label = {"label": Top(columns=(self.label,))} if self.label is not None else {}
        for name in label if "label" in self.tops else ():
            raise DataError(f"csv: '{name}' is said twice, by itself and in tops; keep one")
        if self.data is not None and "data" in self.tops:
            raise DataError("csv: 'data' is said twice, by itself and in tops; keep one")
        others = {**label, **self.tops}
        used = {column for top in others.values() for column in top.columns} | {self.split}
        if data == (ALL,):
            data = tuple(name for name in columns if name not in used)
            if not data:
                raise DataError('csv: data: "*" leaves no column for the data; name columns: data: [A, B]')
        first = {"data": Top(columns=data, type="float")} if data else {}
        self.said: dict[str, Top] = {**first, **others}
        for name, top in self.said.items():
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", name):
                raise DataError(f"csv: '{name[:60]}' cannot be the name of a top; use letters, digits, _ and -")
            for column in (*top.columns, *((self.split,) if self.split is not None else ())):
                if column not in columns:
                    path = next(iter(self.files.values())).path
                    raise DataError(f"{path}: has no column '{column}'; {did_you_mean(column, columns)}")
        blocks = {
            name: list(top.columns)
            for name, top in self.said.items()
            if top.type == "float" or (top.type is None and len(top.columns) > 1)
        }
        singles = {column for name, top in self.said.items() if name not in blocks for column in top.columns}
        return blocks, singles | ({self.split} if self.split is not None else set())

    def divide(self, column: Column) -> None:
        """The splits, as a column says them."""
        where = f"{next(iter(self.files.values())).path}: column '{column.name}'"
        for word in column.words:
            if word not in SPLITS:
                raise DataError(f"{where} says '{word[:60]}' where a split is expected; write train, val or test")
        if column.absent.any():
            row = int(np.flatnonzero(column.absent)[0])
            raise DataError(f"{where} says no split in row {row}; write train, val or test")
        places = column.places
        self.splits = {split: np.flatnonzero(column.values == places[split]) for split in SPLITS if split in places}

    # --- tops ---
    def make(self, name: str, top: Top, table: Table) -> None:
        """The array of a top, and the one that says where it has values."""
        if name in self.blocks:
            block = table.blocks[name]
            absent, values = block.fill(self.number(name, top)), block.values
            if name != "data" and len(top.columns) == 1:
                values, absent = values[:, 0], absent[:, 0]
        else:
            columns = [table.columns[column] for column in top.columns]
            absent = np.stack([column.absent for column in columns], axis=1)
            values = self.alone(name, top, columns, absent)
            if len(columns) == 1:
                values, absent = values[:, 0], absent[:, 0]
        self.put(name, values)
        if absent.any():
            self.put(f"{name}.present", (~absent).astype(np.float32))

    def put(self, name: str, values: Any) -> None:
        self.arrays[name] = values
        self.fields[name] = Shape(values.shape[1:], "index" if values.dtype == np.int32 else "float")

    def number(self, name: str, top: Top) -> float:
        """What fills a gap among numbers."""
        if top.fill is None:
            return self.fill
        if not NUMBER.fullmatch(top.fill):
            raise DataError(f"csv: tops: {name}: fill: '{top.fill}' is no number, as the top is of numbers; give one")
        return float(top.fill)

    def alone(self, name: str, top: Top, columns: list[Column], absent: Any) -> Any:
        """(N, columns) of columns that are not simply numbers: floats, whole numbers, or classes."""
        kind = top.type or self.kind(name, columns)
        if kind == "category":
            return self.classed(name, top, columns, absent)
        values = np.stack([column.values for column in columns], axis=1).astype(np.float64)
        if kind == "float":
            values[absent] = self.number(name, top)
            return values.astype(np.float32)
        for column in columns:
            self.check_whole(name, column)
        values[absent] = -1 if top.fill is None else self.number(name, top)
        return values.astype(np.int32)

    def kind(self, name: str, columns: list[Column]) -> str:
        """The type of a top that says none: words are classes; a label of whole numbers is one, too."""
        if any(column.is_words for column in columns):
            return "category"
        there = [column.values[~column.absent] for column in columns]
        if name != "label" or any((some != np.floor(some)).any() for some in there):
            return "float"
        return "index" if all((some >= 0).all() for some in there) else "category"

    def check_whole(self, name: str, column: Column) -> None:
        """DataError for cells that an index does not hold."""
        if column.is_words:
            word = column.words[0][:60]
            raise DataError(f"csv: '{name}' is an index, and column '{column.name}' says '{word}'; say type: category")
        values = np.where(column.absent, 0, column.values)
        wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) > MOST))
        if len(wrong):
            row = int(wrong[0])
            says = f"column '{column.name}' is {column.values[row]:.9g}, no whole number of 32 bits"
            raise DataError(f"{self.identify(row)}: {says}; say type: float or category for '{name}'")

    def classed(self, name: str, top: Top, columns: list[Column], absent: Any) -> Any:
        """(N, columns) classes: the different values of all the columns, sorted, as 0, 1, 2 …"""
        given = [(column.words, column.values) if column.is_words else numbered(column) for column in columns]
        words = {word for each, _ in given for word in each}
        if not words:
            raise DataError(f"csv: '{name}': column '{columns[0].name}' has no values, only missing ones; choose another")
        gap = top.fill if absent.any() else None
        if gap is not None:
            words.add(gap)
        numeric = all(NUMBER.fullmatch(word) for word in words)
        names = sorted(words, key=lambda word: (float(word), word)) if numeric else sorted(words)
        place = {word: number for number, word in enumerate(names)}
        there = [np.array([place[word] for word in [*each, *names[:1]]], np.int32)[values] for each, values in given]
        made = np.stack(there, axis=1)
        made[absent] = -1 if gap is None else place[gap]
        self.names[name], self.classes[name] = names, len(names)
        return made

    # --- samples ---
    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, indices: Any, out: Arrays) -> None:
        for name, rows in out.items():
            rows[...] = self.arrays[name][indices]

    def identify(self, index: int) -> str:
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        return f"row {index - int(self.starts[number])} of {list(self.files.values())[number].path}"


def numbered(column: Column) -> tuple[list[str], Any]:
    """(the different numbers as texts, the place of each row's among them) of a column of numbers."""
    there = np.where(column.absent, column.values[~column.absent][0] if (~column.absent).any() else 0, column.values)
    found, places = np.unique(there, return_inverse=True)
    return [str(value).removesuffix(".0") for value in found], places
