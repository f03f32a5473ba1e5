"""Steps that change numbers one by one or by those of their own sample, and the axes in which they stand."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from dltrain.data.transforms import Phase, float_samples, need_numbers, need_size
from dltrain.errors import DataError, Refusal
from dltrain.fields import Finite, NonNegative, Share
from dltrain.source import Arithmetic, Draw, Shape, Step, Training, transform


class Plain(Step):
    """A step whose formula holds in train and test alike."""

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers(self.type, x)
        return x

    def one(self, x: Any, u: Any) -> Any:
        return self.apply(float_samples(x), None)[0]


@transform("scale")
class Scale(Plain):
    """y = value x

    x, y  any shape
    """

    value: Finite
    phase: Phase | None = None
    top: str | None = None

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x * np.float32(self.value)

    def arithmetic(self) -> Arithmetic:
        return ("multiply", np.float32(self.value))


def ordered(value: Any) -> Any:
    """[low, high] as a tuple."""
    right = isinstance(value, list | tuple) and len(value) == 2
    if not right or any(isinstance(n, bool) or not isinstance(n, int | float) or not abs(n) < 3e38 for n in value):
        raise ValueError("must be [low, high]")
    if value[0] >= value[1]:
        raise ValueError("must be [low, high], low below high")
    return float(value[0]), float(value[1])


_RANGE = WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2})


@transform("clip")
class Clip(Plain):
    """y = min(max(x, low), high)      range: [low, high]

    x, y  any shape
    """

    range: Annotated[Any, BeforeValidator(ordered), _RANGE]
    phase: Phase | None = None
    top: str | None = None

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return np.clip(x, np.float32(self.range[0]), np.float32(self.range[1]))


@transform("log")
class Log(Plain):
    """y = ln(x + offset)      a sample that is not above -offset is an error

    x, y  any shape
    """

    offset: Finite = 1.0
    phase: Phase | None = None
    top: str | None = None

    def apply(self, x: Any, draw: Draw | None) -> Any:
        y = x + np.float32(self.offset)
        if y.size and not y.min() > 0:
            raise DataError(f"log: there is no logarithm of {x.min():g} + {self.offset:g}; a larger offset, or clip before it")
        return np.log(y, out=y)


@transform("normalise")
class Normalise(Plain):
    """y = (x - m) / sqrt(v + epsilon)      m, v the mean and the variance of the sample, or (over: channel) of each channel

    x, y  any shape; (N, C, …) with over: channel
    """

    over: Literal["sample", "channel"] = "sample"
    epsilon: NonNegative = 1e-5
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        super().setup(x, training)
        if len(x) < (1 if self.over == "sample" else 2):
            raise Refusal("over", f"normalise: of {x} nothing would be left; use mean and std, which look at all of train")
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        rows = x.reshape(-1, prod(x.shape[1 if self.over == "sample" else 2 :]))
        y = np.empty(rows.shape, np.float32)
        for row, made in zip(rows, y, strict=True):  # each for itself: sums of many rows at once are rounded otherwise
            d = row - row.mean(dtype=np.float64)
            v = float((d * d).mean()) + self.epsilon
            made[:] = d / np.sqrt(v) if v > 0 else d
        return y.reshape(x.shape)


@transform("one_hot")
class OneHot(Step):
    """y_k = 1 where k = x, else 0      test, and train with smooth 0
    y_k = (1 - smooth) [k = x] + smooth / classes      train

    x  (N), (N, T), (N, H, W) or (N, 1, H, W), index        y  (N, classes), (N, T, classes) or (N, classes, H, W), float

    Smoothing is of Szegedy et al., "Rethinking the inception architecture for computer vision", 2016.
    """

    classes: Annotated[int, Field(ge=2, le=10**6)]
    smooth: Share = 0.0
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if x.dtype != "index":
            raise Refusal("top", "one_hot: needs classes (whole numbers); name the field of the labels as top")
        if len(x) == 2 or (len(x) == 3 and x[0] == 1):
            return Shape((self.classes, *x[-2:]))
        if len(x) > 1:
            raise Refusal("", f"one_hot: needs one class, a row of them or an image (H x W), not {x}")
        return Shape((*x, self.classes))

    def one(self, x: Any, u: Any) -> Any:
        return self.shares(np.asarray(x)[None], 0.0 if u is None else self.smooth)[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return self.shares(x, 0.0 if draw is None else self.smooth)

    def shares(self, x: Any, smooth: float) -> Any:
        if x.size and not 0 <= x.min() <= x.max() < self.classes:
            wrong = x.min() if x.min() < 0 else x.max()
            raise DataError(f"one_hot: class {wrong} is not among {self.classes} classes (0 .. {self.classes - 1})")
        least, most = np.float32(smooth / self.classes), np.float32(1 - smooth + smooth / self.classes)
        if x.ndim > 2:
            x = x.reshape(len(x), 1, *x.shape[-2:])
            return np.where(x == np.arange(self.classes)[:, None, None], most, least)
        return np.where(x[..., None] == np.arange(self.classes), most, least)


@transform("permute")
class Permute(Step):
    """y[n, …] = x[n, …] with its axes in another order: axis i of y is axis axes[i] of x, counted from 0 without the sample

    x  (N, …)        y  (N, …)
    """

    axes: tuple[Annotated[int, Field(ge=0)], ...]
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if sorted(self.axes) != list(range(len(x))):
            raise Refusal("axes", f"permute: axes must be the numbers 0 .. {len(x) - 1} in some order, for {x}")
        return Shape((x[axis] for axis in self.axes), x.dtype)

    def one(self, x: Any, u: Any) -> Any:
        return np.transpose(x, self.axes)

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x.transpose(0, *(axis + 1 for axis in self.axes))


@transform("flatten")
class Flatten(Step):
    """y = all numbers of a sample in one row, the last axis first

    x  (N, …)        y  (N, D)
    """

    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_size("flatten", x)
        return Shape((prod(x),), x.dtype)

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x.reshape(len(x), -1)
