"""The steps that a batch goes through before the net reads it, each a formula over whole batches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from dltrain.errors import Refusal
from dltrain.fields import Finite, PerAxis, spread
from dltrain.source import Arrays, Draw, Shape, Step, Training, transform

Phase = Literal["train", "test"]

CACHED = 1 << 13  # elements that are resized together, so that they stay in the cache


def image_size(step: str, size: tuple[int, ...], x: Shape) -> tuple[int, int]:
    """(height, width) from the key `size`, one number or two, for a field that must be an image."""
    need_image(step, x)
    both = spread(size, 2)
    if both is None:
        raise Refusal("size", f"{step}: size needs one number, or [height, width]")
    return both[0], both[1]


def need_image(step: str, x: Shape) -> None:
    if len(x) != 3:
        raise Refusal("", f"{step}: needs an image (C x H x W), not {x}")


def need_numbers(step: str, x: Shape) -> None:
    if x.dtype == "index":
        raise Refusal("top", f"{step}: cannot be done with classes; name a field of measured numbers as top")


@transform("resize")
class Resize(Step):
    """y = x, sampled where the centres of the new pixels fall:  p = (i + 1/2) old / new - 1/2   along each axis

    bilinear  y_i = x_lo + t (x_hi - x_lo)       lo = floor p, hi = lo + 1, t = p - lo; beyond the border, the border
    nearest   y_i = x_j                          j = floor((i + 1/2) old / new)

    x  (N, C, H, W)        y  (N, C, H', W')

    No smoothing before shrinking: a large picture made much smaller keeps single pixels, not averages.
    """

    size: PerAxis
    mode: Literal["bilinear", "nearest"] = "bilinear"
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        size = image_size("resize", self.size, x)
        if x.dtype == "index" and self.mode == "bilinear":
            raise Refusal("mode", "resize: cannot mix classes; write mode: nearest")
        growth = {axis: size[axis - 2] / x[axis - 1] for axis in (3, 2) if size[axis - 2] != x[axis - 1]}
        order = sorted(growth, key=growth.__getitem__)  # what shrinks most comes first
        self.passes = [(axis, taps(x[axis - 1], size[axis - 2], axis)) for axis in order]
        self.made = Shape((x[0], *size), x.dtype)
        return self.made

    def apply(self, x: Any, draw: Draw | None) -> Any:
        if not self.passes:
            return x
        y = np.empty((len(x), *self.made), x.dtype)
        some = max(1, CACHED // self.made.count)
        for start in range(0, len(x), some):
            y[start : start + some] = self.sample(x[start : start + some])
        return y

    def sample(self, x: Any) -> Any:
        """One axis after the other; no matrix product, whose rounding would depend on how many samples there are."""
        for axis, (nearest, low, high, t) in self.passes:
            if self.mode == "nearest":
                x = x.take(nearest, axis)
            else:
                y, x = x.take(high, axis), x.take(low, axis)
                y -= x
                y *= t
                y += x
                x = y
        return x


def taps(old: int, new: int, axis: int) -> tuple[Any, Any, Any, Any]:
    """For each new pixel along an axis: the nearest old one, the two around it, and the share of the higher one."""
    i = np.arange(new)
    p = np.clip((i + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(p).astype(np.intp)
    t = (p - low).astype(np.float32)
    return (2 * i + 1) * old // (2 * new), low, np.minimum(low + 1, old - 1), t.reshape(-1, *[1] * (3 - axis))


@transform("crop")
class Crop(Step):
    """y = x[:, :, a : a + h, b : b + w]     train: a, b drawn;   test: a = floor((H - h) / 2), b = floor((W - w) / 2)

    x  (N, C, H, W)        y  (N, C, h, w)
    """

    size: PerAxis
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        self.window = h, w = image_size("crop", self.size, x)
        if h > x[1] or w > x[2]:
            raise Refusal("size", f"crop: {h} x {w} is larger than the image, {x[1]} x {x[2]}; resize it first")
        return Shape((x[0], h, w), x.dtype)

    def apply(self, x: Any, draw: Draw | None) -> Any:
        h, w = self.window
        rows, columns = x.shape[2] - h, x.shape[3] - w
        if draw is None:
            return x[:, :, rows // 2 : rows // 2 + h, columns // 2 : columns // 2 + w]
        a, b = (draw.uniform(2) * (rows + 1, columns + 1)).astype(np.intp).T
        windows = np.lib.stride_tricks.sliding_window_view(x, (h, w), (2, 3))  # (N, C, H - h + 1, W - w + 1, h, w)
        return windows[np.arange(len(x)), :, a, b]


@transform("mirror")
class Mirror(Step):
    """y = x, in train with the given probability its mirror image, left and right exchanged

    x, y  (N, C, H, W)
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_image("mirror", x)
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        if draw is None:
            return x
        turned = draw.uniform()[:, 0] < self.probability
        y = x.copy()
        y[turned] = x[turned, :, :, ::-1]
        return y


@transform("scale")
class Scale(Step):
    """y = value x

    x, y  any shape
    """

    value: Finite
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers("scale", x)
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x * np.float32(self.value)


def mean_value(value: Any) -> Any:
    """A number or a list of them as a tuple; "image" or "channel" as it is."""
    numbers = value if isinstance(value, list | tuple) else (value,)
    if value in ("image", "channel"):
        return value
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int | float) or not abs(n) < 3e38 for n in numbers):
        raise ValueError("must be a number, a list of one number a channel, image or channel")
    return tuple(float(n) for n in numbers)


_MEAN = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}, {"enum": ["image", "channel"]}]}


@transform("mean")
class Mean(Step):
    """y = x - mean

    value   a number; a list of one number a channel; channel, the mean of each channel; or image, that of each place.  The
            last two are computed once, over the training split as it arrives here, and saved with the run.

    x, y  any shape; (N, C, …) for one number a channel
    """

    value: Annotated[Any, BeforeValidator(mean_value), WithJsonSchema(_MEAN)]
    phase: Phase | None = None
    top: str | None = None

    def __post_init__(self) -> None:
        self.computed: Any = None  # float32, the field's shape or (C, 1, …)

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers("mean", x)
        channels, ones = (x[0], [1] * (len(x) - 1)) if x else (1, [])
        if isinstance(self.value, tuple):
            if len(self.value) not in (1, channels):
                raise Refusal("value", f"mean: has {len(self.value)} numbers for {channels} channels")
            self.mean = np.array(self.value, np.float32).reshape(-1, *ones)
            return x
        shape = tuple(x) if self.value == "image" or not x else (channels, *ones)
        if self.computed is None:
            axes = 0 if self.value == "image" else (0, *range(2, len(x) + 1))
            total, count = np.zeros(()), 0
            for part in training():
                total = total + part.sum(axis=axes, dtype=np.float64)
                count += part.size // np.prod(shape, dtype=int)
            self.computed = (total / count).astype(np.float32).reshape(shape)
        if self.computed.shape != shape:
            raise Refusal("", f"mean: computed for {Shape(self.computed.shape)}, but this field is {x}")
        self.mean = self.computed
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x - self.mean

    def state(self) -> Arrays:
        return {} if self.computed is None else {"mean": self.computed}

    def restore(self, state: Arrays) -> None:
        self.computed = state.get("mean")
