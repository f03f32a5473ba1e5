"""A mean that stands in a file: for nets whose makers give it away with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data.npy import map_npy
from dltrain.data.transforms import Phase, float_samples, need_numbers, need_size
from dltrain.errors import DataError, Refusal
from dltrain.source import Arithmetic, Draw, Shape, Step, Training, transform


@transform("mean_file")
class MeanFile(Step):
    """y = x - mean          mean: the array in `file`, an .npy

    x, y  any shape, that of the array; or (N, C, …) for an array of one number a channel
    """

    paths = ("file",)

    file: str
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers("mean_file", x)
        need_size("mean_file", x)
        try:
            mean = np.asarray(map_npy(Path(self.file)), np.float32)
        except DataError as error:
            raise Refusal("file", f"mean_file: {error}") from None
        if mean.shape == tuple(x[:1]) and len(x) > 1:
            mean = mean.reshape(-1, *[1] * (len(x) - 1))
        elif mean.shape != tuple(x):
            raise Refusal("file", f"mean_file: {self.file} is {Shape(mean.shape)}, the field {x}; put it where both agree")
        self.used = mean
        return x

    def one(self, x: Any, u: Any) -> Any:
        return self.apply(float_samples(x), None)[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x - self.used

    def arithmetic(self) -> Arithmetic:
        return ("subtract", self.used)
