"""MNIST: 70,000 images of handwritten digits; and the class behind all sets that come in files like its four."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dltrain.data import known
from dltrain.data.idx import read_idx
from dltrain.errors import DataError
from dltrain.source import Arrays, Held, Shape, source

SHAPES: dict[str, tuple[int, ...]] = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
CLASSES = 10
HELD = 5_000  # the last training images are val


class Glyphs(Held):
    """Grey images and their labels in memory.

    data    1 x H x W, 0 .. 255       label   0 .. classes - 1
    """

    def take(self, train: tuple[Any, Any], test: tuple[Any, Any], held: int, classes: int) -> None:
        """Images and labels of train and of test; the last `held` of train are val."""
        label = np.concatenate([train[1], test[1]])
        self.trained = len(train[1])
        row = int(label.argmax())
        if label[row] >= classes:
            raise DataError(f"{self.type}: the label of {self.identify(row)} is {label[row]}, expected 0 .. {classes - 1}; "
                            "get the files again")  # fmt: skip
        self.arrays: Arrays = {"data": np.concatenate([train[0], test[0]])[:, None], "label": label}
        cuts = {"train": (0, self.trained - held), "val": (self.trained - held, self.trained), "test": (self.trained, len(self))}
        self.splits = {split: np.arange(start, end) for split, (start, end) in cuts.items() if end > start}
        self.fields = {"data": Shape((1, *train[0].shape[1:])), "label": Shape((), "index")}
        self.classes = {"label": classes}

    def square(self, classes: int) -> dict[str, Shape]:
        """What the known sets promise."""
        self.classes = {"label": classes}
        return {"data": Shape((1, 28, 28)), "label": Shape((), "index")}

    def identify(self, index: int) -> str:
        return f"training image {index}" if index < self.trained else f"test image {index - self.trained}"


@source("mnist")
class Mnist(Glyphs):
    """28 x 28 grey images of the digits 0 to 9.

    data    1 x 28 x 28, 0 .. 255       label   0 .. 9
    splits  train 55,000, val the last 5,000 of the 60,000 training images, test 10,000

    The four files are looked for in `root` alone where it is given; else in $DLTRAIN_DATA/mnist, then in the cache, where
    they are fetched to if need be.  LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998.
    """

    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str | None = None

    def open(self) -> None:
        open_four(self, self.root)

    def promised(self) -> dict[str, Shape]:
        return self.square(CLASSES)


def open_four(source: Glyphs, root: str | None) -> None:
    """A source from the four files that MNIST comes in."""
    found: dict[str, Path] = known.find(source.type, root, SHAPES)
    read = [read_idx(found[stem], shape) for stem, shape in SHAPES.items()]
    source.take((read[0], read[1]), (read[2], read[3]), HELD, CLASSES)
