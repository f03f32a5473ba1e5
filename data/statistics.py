"""Steps that make the numbers of the training split centred, of one width, or uncorrelated."""

from __future__ import annotations

from math import inf, prod
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.data.transforms import Phase, float_samples, need_numbers, need_size, samples
from dltrain.errors import Refusal
from dltrain.fields import Count, NonNegative
from dltrain.source import Arithmetic, Arrays, Draw, Shape, Step, Training, transform, varies

LARGEST = 4096  # numbers a sample that may be whitened: a matrix of 64 MiB


def statistic(value: Any) -> Any:
    """A number or a list of them as a tuple; "image" or "channel" as it is."""
    numbers = value if isinstance(value, list | tuple) else (value,)
    if value in ("image", "channel"):
        return value
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int | float) or not abs(n) < 3e38 for n in numbers):
        raise ValueError("must be a number, a list of one number a channel, image or channel")
    return tuple(float(n) for n in numbers)


_VALUE = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}, {"enum": ["image", "channel"]}]}
Value = Annotated[Any, BeforeValidator(statistic), WithJsonSchema(_VALUE)]


class Statistic(Step):
    """A step by a number, one a channel, or one a place, given or computed over the training split."""

    value: Any

    def __post_init__(self) -> None:
        self.computed: Any = None  # float32, the field's shape or (C, 1, …)

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers(self.type, x)
        channels, ones = (x[0], [1] * (len(x) - 1)) if x else (1, [])
        if isinstance(self.value, tuple):
            if len(self.value) not in (1, channels):
                raise Refusal("value", f"{self.type}: has {len(self.value)} numbers for {channels} channels")
            self.used = np.array(self.value, np.float32).reshape(-1, *ones)
            return x
        if self.value == "image" and varies(x):
            raise Refusal("value", f"{self.type}: image needs samples of one size; put resize or crop before it, or take channel")
        shape = tuple(x) if self.value == "image" or not x else (channels, *ones)
        if self.computed is None:
            axes = 0 if self.value == "image" else (0, *range(2, len(x) + 1))
            self.computed = self.compute(training, axes).astype(np.float32).reshape(shape)
        if self.computed.shape != shape:
            raise Refusal("", f"{self.type}: computed for {Shape(self.computed.shape)}, but this field is {x}")
        self.used = self.computed
        return x

    def compute(self, training: Training, axes: Any) -> Any:
        """Over the axes of all samples, in float64."""
        raise NotImplementedError

    def one(self, x: Any, u: Any) -> Any:
        return self.apply(float_samples(x), None)[0]

    def state(self) -> Arrays:
        return {} if self.computed is None else {self.type: self.computed}

    def restore(self, state: Arrays) -> None:
        self.computed = state.get(self.type)


@transform("mean")
class Mean(Statistic):
    """y = x - mean

    value   a number; a list of one number a channel; channel, the mean of each channel; or image, that of each place.  The
            last two are computed once, over the training split as it arrives here, and saved with the run.

    x, y  any shape; (N, C, …) for one number a channel
    """

    value: Value
    phase: Phase | None = None
    top: str | None = None

    def compute(self, training: Training, axes: Any) -> Any:
        total, count = np.zeros(()), 0
        for part in training():
            for some in samples(part):
                sums = some.sum(axis=axes, dtype=np.float64)
                total, count = total + sums, count + some.size // max(1, sums.size)
        return total / count

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x - self.used

    def arithmetic(self) -> Arithmetic:
        return ("subtract", self.used)


@transform("std")
class Std(Statistic):
    """y = x / std

    value   as that of `mean`: given, or computed once over the training split as it arrives here.  The mean is not taken away;
            a place or a channel that is the same in all samples counts as of std 1.

    x, y  any shape; (N, C, …) for one number a channel
    """

    value: Value
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if isinstance(self.value, tuple) and min(self.value) <= 0:
            raise Refusal("value", "std: must be above 0")
        return super().setup(x, training)

    def compute(self, training: Training, axes: Any) -> Any:
        """About the mean of the first part, so that a mean far from 0 takes no digits away."""
        total, squares, count, about = np.zeros(()), np.zeros(()), 0, None
        for part in training():
            for some in samples(part):
                about = some.mean(axis=axes, dtype=np.float64, keepdims=True) if about is None else about
                d = some - about
                total, squares = total + d.sum(axis=axes), squares + (d * d).sum(axis=axes)
                count += d.size // max(1, total.size)
        std = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
        return np.where(std > 0, std, 1)

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x / self.used

    def arithmetic(self) -> Arithmetic:
        return ("divide", self.used)


@transform("whiten")
class Whiten(Step):
    """y = W (x - mean)      U diag(v) U' the covariance of the training split as it arrives here, v from large to small

    pca   W = diag(v + epsilon)^(-1/2) U'        y  (N, components), uncorrelated
    zca   W = U diag(v + epsilon)^(-1/2) U'      y  as x: of all such W the one that changes x least

    x  (N, …), at most 4096 numbers a sample: W is saved with the run.  Bell & Sejnowski, "The independent components of
    natural scenes are edge filters", 1997.
    """

    mode: Literal["zca", "pca"] = "zca"
    epsilon: NonNegative = 1e-5
    components: Count | None = None
    phase: Phase | None = None
    top: str | None = None

    def __post_init__(self) -> None:
        self.mean: Any = None  # (D), float32
        self.matrix: Any = None  # (D, components), float32: the transpose of W

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers("whiten", x)
        need_size("whiten", x)
        size = prod(x)
        if size > LARGEST:
            raise Refusal(
                "", f"whiten: can be done for {LARGEST} numbers a sample, not {size}; make the samples smaller before it"
            )
        kept = size if self.components is None else self.components
        if kept > size or self.mode == "zca" and kept != size:
            raise Refusal("components", f"whiten: {kept} of {size} components; fewer go with mode: pca, more with none")
        if self.matrix is None:
            self.mean, self.matrix = self.compute(training, size, kept)
        if self.matrix.shape != (size, kept):
            was = f"computed for {len(self.matrix)} numbers a sample and {self.matrix.shape[1]} components"
            raise Refusal("", f"whiten: {was}, not for {size} and {kept}")
        return x if self.mode == "zca" else Shape((kept,))

    def compute(self, training: Training, size: int, kept: int) -> tuple[Any, Any]:
        count, total, products = 0, np.zeros(size), np.zeros((size, size))
        about: Any = None
        for part in training():
            for some in samples(part):
                flat = some.reshape(len(some), size)
                about = flat.mean(axis=0, dtype=np.float64) if about is None else about
                d = flat - about
                count, total, products = count + len(d), total + d.sum(axis=0), products + d.T @ d
        off = total / count
        covariance = products / count - np.outer(off, off)
        if not covariance.any():  # one sample, or all alike: minutes of arithmetic for nothing
            return (about + off).astype(np.float32), np.eye(size, kept, dtype=np.float32) / np.float32(self.epsilon**0.5 or inf)
        v, u = np.linalg.eigh(covariance)
        v, u = np.maximum(v[::-1], 0) + self.epsilon, u[:, ::-1]
        scaled = u[:, :kept] * np.where(v > 0, 1 / np.sqrt(np.where(v > 0, v, 1)), 0)[:kept]
        return (about + off).astype(np.float32), (scaled if self.mode == "pca" else scaled @ u.T).astype(np.float32)

    def one(self, x: Any, u: Any) -> Any:
        return self.apply(float_samples(x), None)[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        from dltrain.data.mixing import product

        y = product(x.reshape(len(x), -1) - self.mean, self.matrix)
        return y.reshape(x.shape) if self.mode == "zca" else y

    def state(self) -> Arrays:
        return {} if self.matrix is None else {"mean": self.mean, "matrix": self.matrix}

    def restore(self, state: Arrays) -> None:
        self.mean, self.matrix = state.get("mean"), state.get("matrix")
