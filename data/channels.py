"""Channels in another order: for nets that were trained on blue, green, red."""

from __future__ import annotations

from typing import Any

from dltrain.data.transforms import Phase
from dltrain.errors import Refusal
from dltrain.fields import PerAxisFromZero
from dltrain.source import Draw, Shape, Step, Training, transform


@transform("channels")
class Channels(Step):
    """y[n, i] = x[n, order[i]]          [2, 1, 0]: red, green, blue become blue, green, red, as OpenCV and Caffe have them

    x  (N, C, …)        y  (N, as many as order has, …)
    """

    order: PerAxisFromZero
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if not x or max(self.order) >= x[0]:
            raise Refusal("order", f"channels: {list(self.order)} needs {max(self.order) + 1} channels, and the field is {x}")
        return Shape((len(self.order), *x[1:]), x.dtype)

    def one(self, x: Any, u: Any) -> Any:
        return x[list(self.order)]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x[:, list(self.order)]
