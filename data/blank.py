"""Blank: the shapes of samples, and no samples: what stands in a config whose net came without data."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np

from dltrain.data.absent import Sizes
from dltrain.errors import DataError, Refusal, did_you_mean
from dltrain.fields import Count
from dltrain.source import Arrays, Shape, Source, source


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
