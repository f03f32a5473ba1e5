"""Arrays: samples of your own, saved with NumPy, a field an array."""

from __future__ import annotations

import re
from dataclasses import field
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.data.npy import load_npz, map_npy
from dltrain.errors import DataError, did_you_mean
from dltrain.fields import Count
from dltrain.source import Arrays, Shape, Source, source

LEAST, MOST = -(2**31), 2**31 - 1  # what an index field holds
IGNORED = 255  # the customary class of places that do not count, in label images


def stored(value: Any) -> Any:
    """A.npz as {"": A.npz}; {field: A.npy} as it is."""
    if isinstance(value, str):
        return {"": value}
    if isinstance(value, dict) and value:
        return value
    raise ValueError("must be a FILE.npz, or a mapping {field: FILE.npy}")


_STORED = {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}
Stored = Annotated[dict[str, str], BeforeValidator(stored), WithJsonSchema(_STORED)]


@source("arrays")
class ArrayFiles(Source):
    """The arrays of an .npz file (in memory), or one .npy file a field (left on the disk); axis 0 is the sample.

    file: A.npz  or  files: {data: X.npy, label: Y.npy}        everything is train
    train, val, test: A.npz, or such a mapping, each           own splits, alike in their fields

    The data are the field "data", or else the first.  Floats and small integers of several numbers a sample become float;
    integers of one number a sample, wide ones (32 or 64 bits) and all of a "label" become index.
    """

    paths: ClassVar[tuple[str, ...]] = ("file", "files", "train", "val", "test")

    file: str | None = None
    files: dict[str, str] | None = None
    train: Stored | None = None
    val: Stored | None = None
    test: Stored | None = None
    classes: dict[str, Count] = field(default_factory=dict)

    def open(self) -> None:
        said = self.said()
        self.parts = {split: load(paths) for split, paths in said.items()}
        self.said_of = said
        first, *others = self.parts
        self.fields = self.shapes(first)
        for other in others:
            self.compare(first, other)
        self.starts, self.splits, self.count = {}, {}, 0
        for split, part in self.parts.items():
            self.starts[split] = self.count
            self.count += len(next(iter(part.values())))
            self.splits[split] = np.arange(self.starts[split], self.count)
        self.check_classes()

    def file_of(self, split: str, name: str) -> str:
        paths = self.said_of[split]
        return paths.get("") or paths[name]

    def said(self) -> dict[str, dict[str, str]]:
        """What each split is made of."""
        given = [key for key in ("file", "files", "train") if getattr(self, key) is not None]
        if len(given) != 1:
            raise DataError("arrays: needs exactly one of file: A.npz, files: {data: X.npy, …} and train: …, "
                            f"not {' and '.join(given) or 'none'}; val and test go with train")  # fmt: skip
        splits = {split: said for split in ("train", "val", "test") if (said := getattr(self, split)) is not None}
        if given == ["train"]:
            return splits
        if splits:
            raise DataError(f"arrays: '{given[0]}' is all there is; beside {' and '.join(splits)} write train: instead")
        return {"train": stored(getattr(self, given[0]))}

    def shapes(self, split: str) -> dict[str, Shape]:
        """The fields of a split, its data first."""
        part = self.parts[split]
        names = sorted(part, key=lambda name: name != "data")  # a stable order: the others stay as they are
        return {name: self.shape(split, name) for name in names}

    def shape(self, split: str, name: str) -> Shape:
        """A field's shape and type; a label of N x 1 loses its idle axis."""
        array = self.parts[split][name]
        if name == "label" and array.shape[1:] == (1,):
            array = self.parts[split][name] = array[:, 0]
        one, integer = array.ndim == 1, array.dtype.kind in "biu"
        whole = integer or (name == "label" and one and bool(np.all(array == np.floor(array))))
        if not whole or not (one or name == "label" or array.dtype.itemsize >= 4):
            return Shape(array.shape[1:])
        if not np.can_cast(array.dtype, np.int32) and (array.min() < LEAST or array.max() > MOST):
            raise DataError(f"{self.file_of(split, name)}: '{name}' has numbers beyond 32 bits; number the classes from 0")
        return Shape(array.shape[1:], "index")

    def compare(self, first: str, other: str) -> None:
        """Splits must be alike in their fields."""
        theirs = self.shapes(other)
        for name in {**self.fields, **theirs}:
            one, two = ("no such field" if f is None else f"{f.dtype} {f}" for f in (self.fields.get(name), theirs.get(name)))
            if one != two:
                raise DataError(f"arrays: '{name}' is {one} in {first} and {two} in {other}; splits must have the same fields")

    def check_classes(self) -> None:
        """No label beyond the classes; negative numbers and 255 pass, for ignore_label."""
        for name, count in self.classes.items():
            if name not in self.fields or self.fields[name].dtype != "index":
                known = [field for field, shape in self.fields.items() if shape.dtype == "index"]
                raise DataError(f"arrays: classes: '{name}' is no field of whole numbers; {did_you_mean(name, known)}")
            for split, part in self.parts.items():
                wrong = np.argwhere((part[name] >= count) & (part[name] != IGNORED))
                if len(wrong):
                    row, value = wrong[0][0], int(part[name][tuple(wrong[0])])
                    raise DataError(f"{self.file_of(split, name)}: row {row} has the {name} {value} where classes says {count} "
                                    f"(0 .. {count - 1}); set classes: {{{name}: {value + 1}}}, or mend the file")  # fmt: skip

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Any, out: Arrays) -> None:
        indices = np.asarray(indices)
        for split, part in self.parts.items():
            here = (indices >= self.splits[split][0]) & (indices <= self.splits[split][-1])
            if here.any():
                for name, rows in out.items():
                    rows[here] = part[name][indices[here] - self.starts[split]]

    def identify(self, index: int) -> str:
        split = [split for split, start in self.starts.items() if start <= index][-1]
        return f"row {index - self.starts[split]} of {self.file_of(split, next(iter(self.fields)))}"


def load(paths: dict[str, str]) -> Arrays:
    """The arrays of one split, checked for what they must have in common."""
    whole = paths.get("")
    if whole is not None and not whole.endswith(".npz"):
        raise DataError(f"{whole}: expected a FILE.npz; an array alone is named with its field: {{data: {Path(whole).name}}}")
    arrays = load_npz(Path(whole)) if whole is not None else {name: map_npy(Path(path)) for name, path in paths.items()}
    if not arrays:
        raise DataError(f"{whole}: holds no arrays; expected one a field")
    count = None
    for name, array in arrays.items():
        where = paths.get(name) or whole
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", name):
            raise DataError(f"{where}: '{name[:60]}' cannot be the name of a field; use letters, digits, _ and -")
        if array.ndim == 0 or prod(array.shape) == 0:
            lack = "no samples" if array.ndim else "no axis of samples"
            raise DataError(f"{where}: '{name}' has {lack}; axis 0 counts the samples")
        count = count or len(array)
        if len(array) != count:
            first = next(iter(arrays))
            raise DataError(f"{where}: '{name}' has {len(array):,} samples and '{first}' {count:,}; all need as many")
    return arrays
