"""MNIST: 70,000 images of handwritten digits, from a folder of yours or fetched once and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dltrain.data.idx import read_idx
from dltrain.errors import DataError
from dltrain.source import Arrays, Shape, Source, source

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
SHAPES: dict[str, tuple[int, ...]] = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
PINNED = {  # bytes and SHA-256 of each file as the mirrors have it, gzipped
    "train-images-idx3-ubyte": (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "train-labels-idx1-ubyte": (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte": (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "t10k-labels-idx1-ubyte": (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}
HELD = 5_000  # the last training images are val


@source("mnist")
class Mnist(Source):
    """28 x 28 grey images of the digits 0 to 9.

    data    1 x 28 x 28, 0 .. 255       label   0 .. 9
    splits  train 55,000, val the last 5,000 of the 60,000 training images, test 10,000

    The four files are looked for in `root` alone where it is given; else in $DLTRAIN_DATA/mnist, then in the cache, where
    they are fetched to if need be.  LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998.
    """

    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str | None = None

    def open(self) -> None:
        read = {stem: read_idx(path, SHAPES[stem]) for stem, path in find(self.root).items()}
        train, train_labels, test, test_labels = (read[stem] for stem in SHAPES)
        label = np.concatenate([train_labels, test_labels])
        row = int(label.argmax())
        if label[row] > 9:
            raise DataError(f"mnist: the label of {self.identify(row)} is {label[row]}, expected 0 .. 9; get the files again")
        self.arrays: Arrays = {"data": np.concatenate([train, test])[:, None], "label": label}
        cuts = {"train": (0, len(train) - HELD), "val": (len(train) - HELD, len(train)), "test": (len(train), len(self))}
        self.splits = {split: np.arange(start, end) for split, (start, end) in cuts.items()}
        self.fields = {"data": Shape((1, *train.shape[1:])), "label": Shape((), "index")}
        self.classes = {"label": 10}

    def __len__(self) -> int:
        return len(self.arrays["label"])

    def read(self, indices: Any, out: Arrays) -> None:
        for field, rows in out.items():
            rows[...] = self.arrays[field][indices]

    def identify(self, index: int) -> str:
        count = SHAPES["train-labels-idx1-ubyte"][0]
        return f"training image {index}" if index < count else f"test image {index - count}"


def find(root: str | None) -> dict[str, Path]:
    """Where each of the four files is; DataError, with the ways out, where one is neither there nor to be had."""
    shared = os.environ.get("DLTRAIN_DATA")
    given = Path(root) if root is not None else Path(shared, "mnist") if shared else None
    found = look(given) if given else {}
    if given and (root is not None or found):
        if len(found) < len(SHAPES):
            raise DataError(f"mnist: {given} lacks {lacking(found)} (plain or .gz); add what is missing, or name a folder that "
                            "has all four: --set data.source.root=DIR")  # fmt: skip
        return found
    cache = cache_folder()
    found = look(cache)
    return found if len(found) == len(SHAPES) else complete(found, cache)


def complete(found: dict[str, Path], cache: Path) -> dict[str, Path]:
    """What the cache has, and what it lacks fetched into it."""
    from dltrain.data.download import Remote, Unreachable, fetch

    mirror = os.environ.get("DLTRAIN_MIRROR")
    mirrors = [mirror, *MIRRORS] if mirror else MIRRORS
    try:
        return {stem: found.get(stem) or fetch(Remote(f"{stem}.gz", *PINNED[stem]), mirrors, cache) for stem in SHAPES}
    except Unreachable as error:
        ways = f"put the four files into {cache}, or into DIR/mnist with DLTRAIN_DATA=DIR, or say --set data.source.root=DIR"
        raise DataError(f"mnist: {lacking(look(cache))} could not be fetched ({error}); {ways}") from None


def look(folder: Path) -> dict[str, Path]:
    """Those of the four files that the folder has, under either spelling, plain or gzipped."""
    spellings = {stem: [stem, stem.replace("-idx", ".idx")] for stem in SHAPES}
    paths = {stem: [folder / (name + end) for end in ("", ".gz") for name in names] for stem, names in spellings.items()}
    return {stem: path for stem, some in paths.items() for path in reversed(some) if os.path.isfile(path)}  # the first one wins


def lacking(found: dict[str, Path]) -> str:
    return ", ".join(stem for stem in SHAPES if stem not in found)


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/dltrain/mnist, or ~/.cache/dltrain/mnist; by its specification a relative XDG_CACHE_HOME does not count."""
    said = os.environ.get("XDG_CACHE_HOME", "")
    return Path(said if os.path.isabs(said) else os.path.expanduser("~/.cache"), "dltrain", "mnist")
