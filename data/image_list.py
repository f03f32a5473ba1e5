"""A list of pictures and their labels: a text, path and label a line, or a table with a header."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dltrain.data.labelled_lines import TABLES, Lines, Mistakes, check_names, inside, number, read_lines
from dltrain.data.pictures import Pictures
from dltrain.errors import DataError, did_you_mean
from dltrain.fields import Count
from dltrain.source import Arrays, Shape, source

LEAST, MOST = -(2**31), 2**31 - 1  # what an index holds
IGNORED = 255  # the customary class of what does not count
Top = Annotated[str, Field(max_length=200)]


@source("image_list")
class ImageList(Pictures):
    """Pictures that a file lists, with any number of labels each.

    data    C x H x W, 0 .. 255       and a field for each column of labels: whole numbers and words become an index, words in
                                      alphabetical order; other numbers, and what `measured` names, become float

    file, or train, val, test   lists: text, path and label a line (the label is what follows the last white space); or .csv and
                                .tsv with a header, file,label,age
    root                        paths are relative to it, and may not leave it; without it they are relative to the list
    labels                      the names of the columns after the path, where there is no header
    """

    paths: ClassVar[tuple[str, ...]] = ("file", "train", "val", "test", "root")

    file: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    root: str | None = None
    labels: list[Top] | None = None
    measured: list[str] = field(default_factory=list)
    classes: dict[str, Count] = field(default_factory=dict)

    def open(self) -> None:
        self.fields = {"data": self.prepare()}
        mistakes = Mistakes()
        if self.labels is not None:
            check_names("image_list: labels", self.labels)
        lists = {split: read_lines(Path(path), self.labels, mistakes) for split, path in self.said().items()}
        self.files: list[str] = []
        self.bases: list[str] = []
        self.splits = {}
        for split, lines in lists.items():
            self.add_files(split, lines, mistakes)
            if not lines.files:
                mistakes.settle()
                raise DataError(f"{lines.path}: lists no pictures; write a line for each: path label")
        self.columns: Arrays = {}
        self.facts: dict[str, list[str]] = {}
        self.names, self.counted = {}, dict(self.classes)
        first, *others = lists.values()
        for other in others:
            if other.labels != first.labels:
                raise DataError(f"{other.path}: has the columns {', '.join(other.labels)} where {first.path} has "
                                f"{', '.join(first.labels)}; lists of one source must be alike")  # fmt: skip
        self.check_keys(first.labels)
        for place, name in enumerate(first.labels):
            self.column(name, [(lines, lines.cells[place]) for lines in lists.values()], mistakes)
        mistakes.settle()
        self.classes = self.counted

    def promised(self) -> dict[str, Shape]:
        """Columns that neither a header nor `measured` tells of are taken for classes."""
        lists = self.said().values()
        header = self.labels is None and any(Path(path).suffix in TABLES for path in lists)
        if header or all(map(self.there, lists)):
            return {}
        names = self.labels or ["label"]
        return {"data": self.shape} | {name: Shape((), "float" if name in self.measured else "index") for name in names}

    def said(self) -> dict[str, str]:
        """The list of each split."""
        if (self.file is None) == (self.train is None):
            raise DataError("image_list: needs file: LIST, or train: LIST with val and test beside it; say one of them")
        lists = {"train": self.file or self.train, "val": self.val, "test": self.test}
        return {split: path for split, path in lists.items() if path is not None}

    def check_keys(self, labels: list[str]) -> None:
        for key, names in {"measured": self.measured, "classes": list(self.classes)}.items():
            for name in names:
                if name not in labels:
                    raise DataError(f"image_list: {key}: there is no column '{name}'; {did_you_mean(name, labels)}")
        for name in self.measured:
            if name in self.classes:
                raise DataError(f"image_list: '{name}' is both measured and in classes; say one of them")

    def add_files(self, split: str, lines: Lines, mistakes: Mistakes) -> None:
        wrong = inside(Path(self.root) if self.root is not None else None, lines.path)
        for line, file in zip(lines.numbers, lines.files, strict=True):
            words = wrong(file)
            if words is not None:
                mistakes.add(lines.path, line, words)
        self.splits[split] = np.arange(len(self.files), len(self.files) + len(lines.files))
        self.files += lines.files
        self.bases += [self.root if self.root is not None else str(lines.path.parent)] * len(lines.files)

    def column(self, name: str, given: list[tuple[Lines, list[str]]], mistakes: Mistakes) -> None:
        """A field of labels from its texts in every list."""
        values = [number(cell) for _, cells in given for cell in cells]
        if name not in self.measured and not any(value is not None for value in values):
            self.words(name, given, mistakes)
            return
        lines = ((lines.path, line, cell) for lines, cells in given for line, cell in zip(lines.numbers, cells, strict=True))
        whole = name not in self.measured and all(value is None or isinstance(value, int) for value in values)
        limit = self.classes.get(name)
        if limit is not None and not whole:
            raise DataError(f"image_list: classes: '{name}' has numbers that are not whole; leave it out of classes")
        for (path, line, cell), value in zip(lines, values, strict=True):
            if value is None:
                shown = f"'{cell}', not a number" if cell else "empty"
                mistakes.add(path, line, f"{name} is {shown}; mend the line")
            elif whole and not LEAST <= value <= MOST:
                mistakes.add(path, line, f"{name} is {cell}, beyond 32 bits; number the classes from 0, or say measured")
            elif limit is not None and value >= limit and value != IGNORED:
                mistakes.add(path, line, f"{name} is {cell} where classes says {limit} (0 .. {limit - 1})")
        if not mistakes.told:
            self.columns[name] = np.array(values, np.int32 if whole else np.float32)
            self.fields[name] = Shape((), "index" if whole else "float")
            if whole and limit is None:
                self.counted[name] = max(1, int(self.columns[name].max()) + 1)

    def words(self, name: str, given: list[tuple[Lines, list[str]]], mistakes: Mistakes) -> None:
        """Classes by name: those of train count."""
        names = sorted(set(given[0][1]))
        if len(names) > self.classes.get(name, len(names)):
            raise DataError(
                f"image_list: '{name}' has {len(names)} words, but classes says {self.classes[name]}; mend one of them"
            )
        numbers = {word: place for place, word in enumerate(names)}
        for lines, cells in given:
            for line, cell in zip(lines.numbers, cells, strict=True):
                if not cell:
                    mistakes.add(lines.path, line, f"{name} is empty; mend the line")
                elif cell not in numbers:
                    mistakes.add(lines.path, line, f"{name} is '{cell}', which train does not have; {did_you_mean(cell, names)}")
        if not mistakes.told:
            self.facts[name] = [cell for _, cells in given for cell in cells]
            self.columns[name] = np.array([numbers[word] for word in self.facts[name]], np.int32)
            self.fields[name], self.names[name] = Shape((), "index"), names
            self.counted.setdefault(name, len(names))

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        given: Arrays = {name: self.columns[name][index] for name in wanted if name != "data"}
        if "data" in wanted:
            given["data"] = self.picture(os.path.join(self.bases[index], self.files[index]))
        return given

    def identify(self, index: int) -> str:
        return self.files[index]
