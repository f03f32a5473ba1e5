"""Steps that disturb samples in train: noise, holes, and mixtures of two samples."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dltrain.data.transforms import Phase, float_samples, image_size, need_numbers
from dltrain.errors import Refusal
from dltrain.fields import Count, Finite, NonNegative, PerAxis
from dltrain.source import Draw, Shape, Step, Training, transform


class Disturbed(Step):
    """A step of train alone; elsewhere y = x."""

    numbers = 2

    def setup(self, x: Shape, training: Training) -> Shape:
        need_numbers(self.type, x)
        return x

    def disturbed(self, x: Any, u: Any) -> Any:
        """A batch with as many rows of u."""
        raise NotImplementedError

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None else self.disturbed(float_samples(x), u[None])[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x if draw is None else self.disturbed(x, draw.uniform(2))


@transform("noise")
class Noise(Disturbed):
    """gaussian   y = x + amount e                      e normal, for every number
    uniform    y = x + amount e                      e in [-1, 1)
    salt       y = low or high, as often the one as the other, with the probability `amount`, else x      for every pixel

    x, y  any shape; in an image (N, C, H, W) salt takes all channels of a pixel;  in train only
    """

    amount: NonNegative
    kind: Literal["gaussian", "uniform", "salt"] = "gaussian"
    low: Finite = 0.0
    high: Finite = 255.0
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if self.kind == "salt" and self.amount > 1:
            raise Refusal("amount", "noise: of salt, amount is a probability, at most 1")
        return super().setup(x, training)

    def disturbed(self, x: Any, u: Any) -> Any:
        from dltrain.data.chance import scattered

        if self.kind == "salt":
            e = scattered(u, (1, *x.shape[2:]) if x.ndim == 4 else x.shape[1:])
            return np.where(e < self.amount, np.where(e < self.amount / 2, np.float32(self.low), np.float32(self.high)), x)
        e = scattered(u, x.shape[1:], normal=self.kind == "gaussian")
        return x + np.float32(self.amount) * (e if self.kind == "gaussian" else 2 * e - 1)


@transform("cut_out")
class CutOut(Disturbed):
    """y = value in `count` windows of h x w with centres drawn anywhere in the picture, else x;   in train only

    x, y  (N, C, H, W)

    A window may hang over the border.  DeVries & Taylor, "Improved regularization of convolutional neural networks with
    cutout", 2017.
    """

    size: PerAxis
    count: Annotated[Count, Field(le=1000)] = 1
    value: Finite = 0.0
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        self.window = image_size("cut_out", self.size, x)
        return super().setup(x, training)

    def disturbed(self, x: Any, u: Any) -> Any:
        from dltrain.data.chance import scattered

        y, (h, w) = x.copy(), self.window
        corners = np.floor(scattered(u, (self.count, 2)) * np.float32(x.shape[2:])).astype(int) - (h // 2, w // 2)
        for picture, some in zip(y, corners.tolist(), strict=True):
            for a, b in some:
                picture[:, max(a, 0) : max(a + h, 0), max(b, 0) : max(b + w, 0)] = self.value
        return y


@transform("mix_up")
class MixUp(Step):
    """y_n = l x_n + (1 - l) x_(n + 1)      l of the distribution Beta(alpha, alpha), one a sample; in train only

    x, y  any shape; all fields alike.  The last sample of a batch is mixed with the first.

    l = 1/2 + sign(cos 2 pi v) sqrt(g / (g + 1)) / 2,  g = (u^(-1 / alpha) - 1) cos^2(2 pi v)  with u, v even in (0, 1]:  g is
    t^2 / 2 alpha, t of Student's distribution (Bailey 1994).  Zhang et al., "mixup: beyond empirical risk minimization", 2018.
    """

    alpha: Annotated[float, Field(ge=0.001, le=1000)] = 0.2
    phase: Phase | None = None
    top: str | None = None
    mixes = True

    def setup(self, x: Shape, training: Training) -> Shape:
        if x.dtype == "index":
            raise Refusal("", "mix_up: cannot mix classes; put {one_hot: CLASSES, top: label} before it")
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        if draw is None:
            return x
        u = draw.uniform(2)
        share = beta(self.alpha, 1 - u[:, 0], u[:, 1]).astype(np.float32).reshape(-1, *[1] * (x.ndim - 1))
        return share * x + (1 - share) * np.roll(x, -1, axis=0)


def beta(alpha: float, u: Any, v: Any) -> Any:
    """Numbers of the distribution Beta(alpha, alpha) from numbers u in (0, 1] and v."""
    cos = np.cos(2 * np.pi * v)
    with np.errstate(over="ignore", divide="ignore"):
        g = np.expm1(np.log(1 / u) / alpha) * cos**2
        return 0.5 + np.sign(cos) * 0.5 / np.sqrt(1 + 1 / g)
