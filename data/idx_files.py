"""IDX files of your own: images and labels in the format of MNIST, of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.data.idx import read_idx
from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Arrays, Held, Shape, source

SPLITS = ("train", "val", "test")


def by_split(value: Any) -> Any:
    """FILE as {train: FILE}; {train: FILE, test: FILE} as it is."""
    made = {"train": value} if isinstance(value, str) else value
    if not isinstance(made, dict) or "train" not in made or not set(made) <= set(SPLITS):
        raise ValueError("must be a FILE, or a mapping {train: FILE, val: FILE, test: FILE}")
    return made


_FILES = {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}
Files = Annotated[dict[str, str], BeforeValidator(by_split), WithJsonSchema(_FILES)]


@source("idx")
class IdxFiles(Held):
    """Images of bytes, and what they show, from IDX files, plain or gzipped; held in memory.

    data    1 x H x W, 0 .. 255       label   0 .. classes - 1, where `labels` are given
    splits  as the files are named: images: {train: F, test: F}; a bare FILE is train
    """

    paths: ClassVar[tuple[str, ...]] = ("images", "labels")

    images: Files
    labels: Files | None = None

    def open(self) -> None:
        images = {split: read_idx(Path(path), (ANY_SIZE,) * 3) for split, path in self.images.items()}
        sizes = {split: array.shape[1:] for split, array in images.items()}
        for split, size in sizes.items():
            if size != sizes["train"]:
                words = f"{Shape(size)}, those of {self.images['train']} {Shape(sizes['train'])}"
                raise DataError(f"{self.images[split]}: its images are {words}; splits must be alike")
        self.arrays: Arrays = {"data": np.concatenate([*images.values()])[:, None]}
        self.fields = {"data": Shape(self.arrays["data"].shape[1:])}
        if self.labels is not None:
            self.arrays["label"] = np.concatenate([self.labels_of(split, len(array)) for split, array in images.items()])
            self.fields["label"] = Shape((), "index")
            self.classes = {"label": int(self.arrays["label"].max()) + 1}
        ends = np.cumsum([len(array) for array in images.values()])
        self.splits = {split: np.arange(end - len(array), end) for (split, array), end in zip(images.items(), ends, strict=True)}

    def labels_of(self, split: str, count: int) -> Any:
        path = (self.labels or {}).get(split)
        if path is None:
            raise DataError(f"idx: there are images of {split}, but no labels; add labels: {{{split}: FILE}}")
        return read_idx(Path(path), (count,))

    def identify(self, index: int) -> str:
        split = next(split for split, rows in self.splits.items() if index <= rows[-1])
        return f"image {index - self.splits[split][0]} of {self.images[split]}"
