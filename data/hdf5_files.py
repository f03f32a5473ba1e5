"""HDF5 files as a source: datasets of equal length, read from the disk as they are asked for."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.data.absent import Absent
from dltrain.data.arrays import LEAST, MOST
from dltrain.data.hdf5_parts import Part, Tops, listed_files, opened
from dltrain.errors import DataError, did_you_mean
from dltrain.fields import Count, listed, one_or_more, some
from dltrain.source import ANY_SIZE, Arrays, Shape, source, varies

Files = Annotated[tuple[str, ...], BeforeValidator(some), one_or_more({"type": "string"})]
_TEXT: dict[str, Any] = {"type": "string"}
_TOPS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "object", "additionalProperties": _TEXT}]}
TOGETHER = 1 << 20  # elements that are looked at together


def topped(value: Any) -> Any:
    """tops: data, [data, label] or {data: images/train}, as a mapping."""
    if isinstance(value, dict) and value:
        return value
    if isinstance(value, dict | bool) or value == [] or not all(isinstance(each, str) for each in listed(value)):
        raise ValueError("must be a list of datasets, or a mapping {top: dataset}")
    return {name: name for name in listed(value)}


@source("hdf5")
class Hdf5Files(Absent):
    """The datasets of HDF5 files; axis 0 is the sample.  Files stay on the disk, whatever their size.

    file: F.h5, [F.h5, G.h5] or L.txt     everything is train; several files are one after another; a text file lists files, a
                                          line each, as Caffe has it, relative to it
    train, val, test                      own splits, each as above, alike in their fields
    tops: [data, label]                   which datasets, or {data: group/x, label: group/y}; unsaid, all at the top of the file
    classes: {words: 5000}                these fields are whole numbers below that, however they are stored
    measured: [age]                       these are numbers, and no classes
    shapes: {data: [3, 8, 8], label: []}  counts only while a file is missing: the net can then be built all the same

    The data are the dataset "data", or else the first.  Floats and small integers of several numbers a sample become float;
    integers of one number a sample, wide ones (32 or 64 bits) and all of a "label" become index.  A file of dltrain data convert
    has its fields, splits and names with it.
    """

    paths: ClassVar[tuple[str, ...]] = ("file", "train", "val", "test")

    file: Files | None = None
    train: Files | None = None
    val: Files | None = None
    test: Files | None = None
    tops: Annotated[dict[str, str], BeforeValidator(topped), WithJsonSchema(_TOPS)] | None = None
    classes: dict[str, Count] = field(default_factory=dict)

    def said(self) -> dict[str, tuple[str, ...]]:
        """The files of each split, as they are written."""
        said = {split: files for split in ("train", "val", "test") if (files := getattr(self, split)) is not None}
        if (self.file is None) == ("train" not in said) or (self.file is not None and said):
            raise DataError("hdf5: needs file: F.h5, or train: F.h5 with val and test beside it; not both, and one of them")
        return {"train": self.file} if self.file is not None else said

    def promised(self) -> dict[str, Shape]:
        return self.promise((file for files in self.said().values() for file in files), self.classes)

    def open(self) -> None:
        paths = {split: listed_files(files) for split, files in self.said().items()}
        tops: Tops | None = self.tops
        count = sum(map(len, paths.values()))
        self.parts = [opened(path, tops, count) for files in paths.values() for path in files]
        self.starts = np.cumsum([0, *(part.count for part in self.parts)])
        self.names = {}
        self.settle()
        ends = np.cumsum([0, *(len(files) for files in paths.values())])
        self.splits = {
            split: np.arange(self.starts[ends[number]], self.starts[ends[number + 1]]) for number, split in enumerate(paths)
        }
        if len(self.parts) == 1 and self.file is not None and (about := self.parts[0].about) is not None:
            fields, classes = self.fields, self.classes  # those of tops alone
            about.hand_to(self)
            self.fields, self.classes = fields, classes

    def settle(self) -> None:
        """The fields, in which all files must be alike."""
        first = self.parts[0]
        for name in self.classes:
            if name not in first.fields:
                raise DataError(f"hdf5: classes: there is no field '{name}'; {did_you_mean(name, first.fields)}")
        names = sorted(first.fields, key=lambda name: name != "data")  # a stable order: the others stay as they are
        self.fields = {name: self.shape(name) for name in names}
        self.check_measured()
        for part in self.parts:
            for name in {**first.fields, **part.fields}:
                one, two = (each.fields.get(name) for each in (first, part))
                if one is None or two is None or tuple(one) != tuple(two):
                    has, other = ("no such dataset" if each is None else str(each) for each in (two, one))
                    raise DataError(f"{part.path}: '{name}' is {has} a sample, and {other} in {first.path}; files must be alike")
            if part.about is not None:
                self.classes, self.names = part.about.classes | self.classes, part.about.names

    def shape(self, name: str) -> Shape:
        """A field's shape and type, by all the files."""
        said = [part.about.fields[name] for part in self.parts if part.about is not None and name in part.about.fields]
        if said:
            return said[0]
        shape = self.parts[0].fields[name]
        counted = name in self.classes
        label = (name == "label" or counted) and shape in ((), (1,))
        if label:  # one of N x 1 loses its idle axis
            shape = Shape(())
            for part in self.parts:
                if part.fields.get(name) == (1,):
                    part.fields[name] = shape
        if name in self.measured:
            return shape
        datasets = [part.datasets[name] for part in self.parts if name in part.datasets]
        kinds = {dataset.dtype.kind for dataset in datasets}
        integer = kinds <= set("biu")
        wide = max(dataset.dtype.itemsize for dataset in datasets) >= 4
        if integer and (not shape or name == "label" or wide) or ((label or counted) and all(map(is_whole, datasets))):
            for part in self.parts:
                within(part, name)
            return Shape(shape, "index")
        if counted:
            raise DataError(f"hdf5: classes: '{name}' has numbers that are not whole; leave it out of classes")
        return shape

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def one_by_one(self) -> bool:
        return any(varies(shape) for shape in self.fields.values())

    def read(self, indices: Any, out: Arrays) -> None:
        indices = np.asarray(indices)
        order = np.argsort(indices, kind="stable")
        ends = np.searchsorted(indices[order], self.starts)
        for number, part in enumerate(self.parts):
            rows = order[ends[number] : ends[number + 1]]
            if len(rows):
                for name, array in out.items():
                    part.read(name, indices[rows] - self.starts[number], array, rows)

    def sample(self, index: int, wanted: Any) -> Arrays:
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        part, row = self.parts[number], index - int(self.starts[number])
        made = {name: part.one(name, row) for name in wanted if ANY_SIZE in self.fields[name]}
        rest = {name: np.empty((1, *self.fields[name]), part.kind(name)) for name in wanted if name not in made}
        self.read(np.array([index]), rest)
        return made | {name: rows[0] for name, rows in rest.items()}

    def identify(self, index: int) -> str:
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        part, row = self.parts[number], index - int(self.starts[number])
        plain = f"row {row} of {part.path}"
        return plain if part.about is None else part.about.identify(row, plain)


def is_whole(dataset: Any) -> bool:
    """True where all numbers of a dataset are whole."""
    if dataset.dtype.kind in "biu":
        return True
    return all(bool(np.all(piece == np.floor(piece))) for piece in pieces(dataset))


def within(part: Part, name: str) -> None:
    """DataError where a field of whole numbers goes beyond what an index holds."""
    dataset = part.datasets.get(name)
    if dataset is None or np.can_cast(dataset.dtype, np.int32):
        return
    for piece in pieces(dataset):
        if piece.min() < LEAST or piece.max() > MOST:
            raise DataError(f"{part.path}: '{name}' has numbers beyond 32 bits; number the classes from 0")


def pieces(dataset: Any) -> Any:
    """The numbers of a dataset, some rows at a time."""
    rows = max(1, TOGETHER // max(1, int(np.prod(dataset.shape[1:]))))
    return (dataset[start : start + rows] for start in range(0, len(dataset), rows))
