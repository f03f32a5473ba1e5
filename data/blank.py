"""Blank: the shapes of samples, and no samples: what stands in a config whose net came without data."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.errors import DataError, Refusal, did_you_mean
from dltrain.fields import Count, listed
from dltrain.source import ANY_SIZE, Arrays, Shape, Source, source

ANY = "any"


def sizes(value: Any) -> Any:
    """3, or [3, 224, 224], or [3, any, any]"""
    made = tuple(ANY_SIZE if size == ANY else size for size in listed(value))
    if any(
        not isinstance(size, int) or isinstance(size, bool) or (size < 1 and size != ANY_SIZE) for size in made
    ) or -1 in listed(value):
        raise ValueError(f"cannot be {value!r}; write sizes from 1 on, such as [3, 224, 224], or any where it differs")
    return made


_COUNT: dict[str, Any] = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": ANY}]}
_SIZES = {"anyOf": [*_COUNT["anyOf"], {"type": "array", "items": _COUNT}]}
Sizes = Annotated[tuple[int, ...], BeforeValidator(sizes), WithJsonSchema(_SIZES)]


@source("blank")
class Blank(Source):
    """Fields of these shapes, of which nothing can be read: enough to show and time a net, and to predict files.

    shapes   {data: [3, 224, 224]}: the shape of each field without the batch, the data first; []: one number a sample;
             [3, any, any]: pictures that differ in size, which steps must make alike
    classes  {words: 5000}: these fields are whole numbers below that

    To train or test, another source takes its place.
    """

    shapes: dict[str, Sizes]
    classes: dict[str, Count] = field(default_factory=dict)

    def open(self) -> None:
        if not self.shapes:
            raise Refusal("source.shapes", "blank: shapes must not be empty; write shapes: {data: [3, 224, 224]}")
        for name in self.classes:
            if name not in self.shapes:
                raise Refusal("source.classes", f"blank: classes: there is no field '{name}'; {did_you_mean(name, self.shapes)}")
        self.fields = self.promised()
        self.splits = {"train": np.arange(1)}

    def promised(self) -> dict[str, Shape]:
        return {name: Shape(sizes, "index" if name in self.classes else "float") for name, sizes in self.shapes.items()}

    def __len__(self) -> int:
        return 1

    def read(self, indices: Any, out: Arrays) -> None:
        raise DataError("blank: has shapes and no samples; name a source of yours in data.source, such as image_folder or arrays")
