"""Pictures with a class for each pixel: two folders, whose files belong together by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from dltrain.data.folders import pictures_below, split_folders
from dltrain.data.image import EXTENSIONS, MOST, Color, Pixels, quiet_pillow, read_image, read_labels, read_size
from dltrain.errors import DataError, Refusal, did_you_mean
from dltrain.fields import Count
from dltrain.source import ANY_SIZE, Arrays, Shape, Source, source

DEPTH = 65536  # values that a pixel of a label image may have
UNKNOWN = -(2**31)  # in the table from values to classes: neither a class nor ignored
_WHOLE = {"type": "integer", "minimum": 0, "maximum": DEPTH - 1}
_VALUES = {"anyOf": [{"type": "array", "items": _WHOLE, "minItems": 1}, {"type": "object", "additionalProperties": _WHOLE}]}


def mapped(given: Any) -> Any:
    """[0, 255] is {0: 0, 255: 1}; keys of a mapping come as texts."""
    pairs = given.items() if isinstance(given, dict) else [(v, n) for n, v in enumerate(given)] if isinstance(given, list) else []
    whole = [(int(v) if re.fullmatch("[0-9]{1,5}", str(v)) else -1, n) for v, n in pairs]
    if not whole or not all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= v < DEPTH and 0 <= n < DEPTH for v, n in whole
    ):
        raise ValueError("must be a list of the values of the classes, [0, 255], or a mapping {value: class}; all 0 .. 65535")
    if len({v for v, _ in whole}) < len(whole):
        raise ValueError("has a value twice")
    return dict(whole)


Values = Annotated[dict[int, int], BeforeValidator(mapped), WithJsonSchema(_VALUES)]


@source("segmentation")
class Segmentation(Source):
    """Pictures, and label images that give each of their pixels a class.

    data    C x H x W, 0 .. 255       label   H x W, an index

    images, labels   folders; a picture and its label image have the same name but for the extension, in the order of the numbers
                     in their names (9 before 10); both may have train, val and test below them
    values           the values of label images that are classes: [0, 255] in the order of the classes, or {0: 0, 255: 1}; without
                     it the values (of a palette image the indices) are the classes
    ignore           a value that is no class; it stays as it is, for `ignore_label` of losses and metrics
    classes          {label: 21}: how many there are, where `values` does not say it
    """

    paths: ClassVar[tuple[str, ...]] = ("images", "labels")

    images: str
    labels: str
    values: Values | None = None
    ignore: Annotated[int, Field(ge=0, lt=DEPTH)] | None = None
    classes: dict[str, Count] = field(default_factory=dict)
    color: Color = "rgb"
    max_pixels: Pixels = MOST

    def open(self) -> None:
        quiet_pillow()
        self.table = self.to_classes()
        self.folders = Path(self.images), Path(self.labels)
        (pictures, below), (answers, _) = (self.by_stem(folder) for folder in self.folders)
        self.pairs: list[tuple[str, str]] = []
        self.splits = {}
        for split, top in split_folders(self.folders[0], list(pictures.values()), below, flat=True).items():
            stems = sorted((stem for stem in pictures if not top or stem.startswith(f"{top}/")), key=natural)
            self.splits[split] = np.arange(len(self.pairs), len(self.pairs) + len(stems))
            self.pairs += [(pictures[stem], self.partner(pictures[stem], stem, answers)) for stem in stems]
        for stem in sorted(answers.keys() - pictures.keys()):
            raise DataError(f"{self.folders[1] / answers[stem]}: has no picture in {self.folders[0]}; add it, or remove this")
        sizes = {size for index in range(len(self)) if (size := self.size(index)) is not None}
        height, width = sizes.pop() if len(sizes) == 1 else (ANY_SIZE, ANY_SIZE)
        channels = 3 if self.color == "rgb" else 1
        self.fields = {"data": Shape((channels, height, width)), "label": Shape((height, width), "index")}

    def promised(self) -> dict[str, Shape]:
        if os.path.isdir(self.images):
            return {}
        self.to_classes()
        channels = 3 if self.color == "rgb" else 1
        return {"data": Shape((channels, ANY_SIZE, ANY_SIZE)), "label": Shape((ANY_SIZE, ANY_SIZE), "index")}

    def to_classes(self) -> Any:
        """Value of a label image -> class."""
        for name in self.classes:
            if name != "label":
                raise Refusal("source.classes", f"segmentation: there is no '{name}' to count; write classes: {{label: 21}}")
        count = self.classes.get("label")
        values = {value: value for value in range(count or DEPTH)} if self.values is None else self.values
        highest = max(values.values())
        if count is not None and highest >= count:
            raise Refusal("source.classes", f"segmentation: values has the class {highest} where classes says {count}")
        if self.ignore is not None:
            values = values if self.values is not None else {value: to for value, to in values.items() if to != self.ignore}
            if self.ignore in values or self.ignore in values.values():
                raise Refusal("source.ignore", f"segmentation: {self.ignore} is a class as well; take it out of values")
        if self.values is not None:
            self.classes = {"label": count or highest + 1}
        table = np.full(DEPTH, UNKNOWN, np.int32)
        table[list(values)] = list(values.values())
        if self.ignore is not None:
            table[self.ignore] = self.ignore
        return table

    def by_stem(self, folder: Path) -> tuple[dict[str, str], list[str]]:
        """Path without its extension -> path, of the pictures below a folder; and the folders below it."""
        files, below = pictures_below(folder, EXTENSIONS)
        found: dict[str, str] = {}
        for file in files:
            stem = file.rpartition(".")[0]
            if stem in found:
                raise DataError(f"{folder / file}: has the name of {found[stem]}; keep one of them")
            found[stem] = file
        return found, below

    def partner(self, picture: str, stem: str, answers: dict[str, str]) -> str:
        if stem not in answers:
            raise DataError(f"{self.folders[0] / picture}: has no labels in {self.folders[1]}; {did_you_mean(stem, answers)}")
        return answers[stem]

    def size(self, index: int) -> tuple[int, int] | None:
        """(height, width) of a picture and of its labels; None where one cannot be read, which is told when it is used."""
        picture, answer = self.files(index)
        try:
            sizes = read_size(picture, self.max_pixels), read_size(answer, self.max_pixels)
        except DataError:
            return None
        agree(picture, sizes[0], answer, sizes[1])
        return sizes[0]

    def files(self, index: int) -> tuple[Path, Path]:
        picture, answer = self.pairs[index]
        return self.folders[0] / picture, self.folders[1] / answer

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        picture, answer = self.files(index)
        given: Arrays = {}
        if "data" in wanted:
            given["data"] = read_image(picture, self.color, self.max_pixels)
        if "label" in wanted:
            given["label"] = self.label(answer)
        if len(given) == 2:
            agree(picture, given["data"].shape[1:], answer, given["label"].shape)
        return given

    def label(self, path: Path) -> Any:
        values = read_labels(path, self.max_pixels)
        y = self.table[values]
        if (y == UNKNOWN).any():
            row, column = np.argwhere(y == UNKNOWN)[0]
            value = values[row, column]
            raise DataError(f"{path}: has {value} at row {row}, column {column}, which is no class; add it to values, or say "
                            f"ignore: {value}")  # fmt: skip
        return y

    def identify(self, index: int) -> str:
        return self.pairs[index][0]

    def load(self, path: Path) -> Arrays:
        return {"data": read_image(path, self.color, self.max_pixels)}


def agree(picture: Path, size: tuple[int, ...], answer: Path, other: tuple[int, ...]) -> None:
    """A picture and its labels are of one size."""
    if size != other:
        raise DataError(f"{picture}: is {size[0]} x {size[1]}, but its labels, {answer}, are {other[0]} x {other[1]}; both "
                        "must be of one size")  # fmt: skip


def natural(name: str) -> list[tuple[int, str]]:
    """A key by which 9 comes before 10."""
    return [(int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in re.split("([0-9]{1,18})", name)]
