"""CIFAR-10 and CIFAR-100: 60,000 small photographs of 10 or 100 kinds of things, in the binary or the Python form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from dltrain.data import known
from dltrain.data.cifar_files import CIFAR10, CIFAR100, Kind, read_parts
from dltrain.errors import DataError
from dltrain.source import Arrays, Held, Shape, source

HELD = 10  # the last tenth of train is val: 5,000 of 50,000


class Cifar(Held):
    """What both sets do."""

    kind: ClassVar[Kind]
    root: str | None
    partial: bool

    def open(self) -> None:
        parts = read_parts(self.kind, find(self.kind, self.root))
        self.check_sizes({name: len(data) for name, (data, _) in parts.items()})
        tests = [name for name in parts if name.startswith("test")]
        order = [name for name in self.kind.parts if name in parts and name not in tests] + tests
        self.count = sum(len(parts[name][0]) for name in order if name not in tests)
        if not self.count:
            raise DataError(f"{self.type}: has no batch for train; add {next(iter(self.kind.parts))}")
        self.arrays: Arrays = {"data": np.concatenate([parts[name][0] for name in order])}
        for label in self.kind.keys:
            self.arrays[label] = np.concatenate([parts[name][1][label] for name in order])
        cut = self.count - self.count // HELD
        cuts = {"train": (0, cut), "val": (cut, self.count), "test": (self.count, len(self))}
        self.splits = {split: np.arange(start, end) for split, (start, end) in cuts.items() if end > start}
        self.fields = self.promised()
        self.names = self.kind.names

    def promised(self) -> dict[str, Shape]:
        self.classes = {label: len(words) for label, words in self.kind.names.items()}
        return {"data": Shape((3, 32, 32)), **{label: Shape((), "index") for label in self.kind.keys}}

    def check_sizes(self, found: dict[str, int]) -> None:
        """All is there, or the config knows that it is not."""
        if self.partial:
            return
        for name, count in self.kind.parts.items():
            if found.get(name, 0) < count:
                has = f"has {found[name]:,} of its {count:,} pictures" if name in found else "is not there"
                raise DataError(f"{self.type}: {name} {has}; get the whole set, or say partial: true")

    def identify(self, index: int) -> str:
        return f"training image {index}" if index < self.count else f"test image {index - self.count}"


@source("cifar10")
class Cifar10(Cifar):
    """32 x 32 colour photographs of 10 kinds of things.

    data    3 x 32 x 32, 0 .. 255       label   0 .. 9
    splits  train 45,000, val the last 5,000 of the 50,000 training images, test 10,000

    The files, of the binary or the Python form, plain or gzipped, or the archive that has them, are looked for in `root` alone
    where it is given; else in $DLTRAIN_DATA/cifar10, then in the cache.  `partial` allows fewer images: val is then the last
    tenth of train.  Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    kind: ClassVar[Kind] = CIFAR10
    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str | None = None
    partial: bool = False


@source("cifar100")
class Cifar100(Cifar):
    """32 x 32 colour photographs of 100 kinds of things, in 20 groups.

    data    3 x 32 x 32, 0 .. 255       label   0 .. 99       coarse   0 .. 19
    splits  train 45,000, val the last 5,000 of the 50,000 training images, test 10,000

    Files and keys as of cifar10.
    """

    kind: ClassVar[Kind] = CIFAR100
    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str | None = None
    partial: bool = False


def find(kind: Kind, root: str | None) -> dict[str, Path]:
    """Where the parts are: name -> file, or the archive under ""; fetched into the cache where they are nowhere."""
    if root is not None:
        found = look(kind, Path(root))
        if not found:
            raise DataError(f"{kind.name}: {root} has neither {next(iter(kind.parts))}.bin, plain or .gz, nor an archive such as "
                            f"{kind.archives[0]}; name the folder that has them: --set data.source.root=DIR")  # fmt: skip
        return found
    shared, cache = known.shared(kind.name), known.cache_folder(kind.name)
    found = (look(kind, shared) if shared is not None else {}) or look(kind, cache)
    if not found:
        known.find(kind.name, None, [f"{name}.bin" for name in kind.parts])
    return found or look(kind, cache)


def look(kind: Kind, place: Path) -> dict[str, Path]:
    """What a folder has of a set; or the archive, where it is one itself."""
    if os.path.isfile(place):
        return {"": place}
    for folder in (place, *(place / name for name in kind.folders)):
        for ends in ((".bin", ".bin.gz"), ("", ".gz")):
            if found := dict(those_in(folder, kind, ends)):
                return found
    archive = next((place / name for name in kind.archives if os.path.isfile(place / name)), None)
    return {"": archive} if archive is not None else {}


def those_in(folder: Path, kind: Kind, ends: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for name in kind.parts:
        path = next((folder / (name + end) for end in ends if os.path.isfile(folder / (name + end))), None)
        if path is not None:
            yield name, path
