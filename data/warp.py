"""Steps that take every pixel from a place of its own: turned, stretched, bent."""

from __future__ import annotations

from math import log
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dltrain.data.transforms import WIDEST, Phase, Range, between, need_image, spanned
from dltrain.errors import Refusal
from dltrain.fields import Finite, NonNegative, Positive
from dltrain.source import Draw, Shape, Step, Training, transform

Beyond = Literal["reflect", "edge", "constant"]
Class = Annotated[int, Field(ge=-(2**24), le=2**24)]  # whole numbers that float32 has


class Warp(Step):
    """y(q) = x(p) with p a function of q: bilinear between pixels, of label images the nearest; in train only."""

    mode: Beyond
    value: float
    label: int
    moves = True

    def places(self, height: int, width: int, u: Any) -> tuple[Any, Any]:
        """matrix (N, 2, 3) and field (N or 0, 2, H W):  p = matrix (q, 1) + field;  u is (N, numbers)."""
        raise NotImplementedError

    def setup(self, x: Shape, training: Training) -> Shape:
        need_image(self.type, x)
        self.classes = x.dtype == "index"
        return x

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None else self.warped(x[None], u[None])[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x if draw is None else self.warped(x, draw.uniform(self.numbers))

    def warped(self, x: Any, u: Any) -> Any:
        from dltrain.data.resample import BEYOND, frozen, warp

        kind: Any = np.int32 if self.classes else np.float32
        matrix, field = self.places(x.shape[2], x.shape[3], u)
        fill, planes = kind(self.label if self.classes else self.value), (*x.shape[:2], -1)
        y, source = np.empty(x.shape, kind), frozen(x.astype(kind, copy=False)).reshape(planes)
        warp(source, x.shape[2:], frozen(matrix), frozen(field), BEYOND[self.mode], self.classes, fill, y.reshape(planes))
        return y


def linear(angle: Any, lean: Any, factor: Any, shift: Any, height: int, width: int) -> Any:
    """(N, 2, 3): where the pixels come from when a picture is leaned, turned and stretched about its centre, then shifted."""
    cos, sin, tan = np.cos(angle), np.sin(angle), np.tan(lean)
    there = np.stack([cos + sin * tan, -sin, sin - cos * tan, cos], axis=-1).reshape(-1, 2, 2) * np.reshape(factor, (-1, 1, 1))
    back = np.linalg.inv(there)
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    start = centre - (back * (centre + shift)[..., None, :]).sum(axis=2)
    return np.concatenate([back, start[:, :, None]], axis=2)


NO_FIELD = np.empty((0, 2, 1), np.float32)


@transform("rotate")
class Rotate(Warp):
    """y(c + R(v) (p - c)) = x(p)      v drawn between -degrees and degrees, or [low, high]; counter-clockwise; c the centre

    x, y  (N, C, H, W)
    """

    degrees: Range
    mode: Beyond = "reflect"
    value: Finite = 0.0
    label: Class = 0
    phase: Phase | None = None
    top: str | None = None
    numbers = 1

    def setup(self, x: Shape, training: Training) -> Shape:
        self.angles = spanned("rotate", "degrees", self.degrees, lambda v: -v)
        return super().setup(x, training)

    def places(self, height: int, width: int, u: Any) -> tuple[Any, Any]:
        angle = np.radians(between(*self.angles, u[:, 0]))
        return linear(angle, 0 * angle, 1 + 0 * angle, 0.0, height, width), NO_FIELD


@transform("affine")
class Affine(Warp):
    """y(c + s R(v) S(k) (p - c) + t) = x(p)      c the centre

    rotate   degrees: v between -rotate and rotate, or [low, high]; counter-clockwise
    shear    degrees: k likewise; what is above the centre leans to the right
    scale    s between 1 / scale and scale, or [low, high], its logarithm even
    shift    t between -shift and shift times height and width

    x, y  (N, C, H, W)
    """

    rotate: Range = (0.0,)
    shear: Range = (0.0,)
    scale: Range = (1.0,)
    shift: Annotated[float, Field(ge=0, le=1)] = 0.0
    mode: Beyond = "reflect"
    value: Finite = 0.0
    label: Class = 0
    phase: Phase | None = None
    top: str | None = None
    numbers = 5

    def setup(self, x: Shape, training: Training) -> Shape:
        self.angles = spanned("affine", "rotate", self.rotate, lambda v: -v)
        self.leans = spanned("affine", "shear", self.shear, lambda v: -v)
        if min(self.scale) <= 0:
            raise Refusal("scale", "affine: scale must be above 0")
        if not -90 < min(self.leans) <= max(self.leans) < 90:
            raise Refusal("shear", "affine: shear must be between -90 and 90 degrees")
        low, high = spanned("affine", "scale", self.scale, lambda s: 1 / s)
        self.factors = log(low), log(high)
        return super().setup(x, training)

    def places(self, height: int, width: int, u: Any) -> tuple[Any, Any]:
        angle, lean = np.radians(between(*self.angles, u[:, 0])), np.radians(between(*self.leans, u[:, 1]))
        factor = np.exp(between(*self.factors, u[:, 2]))
        shift = between(-self.shift, self.shift, u[:, 3:5]) * (height, width)
        return linear(angle, lean, factor, shift, height, width), NO_FIELD


@transform("elastic")
class Elastic(Warp):
    """y(q) = x(q + alpha (G * d)(q))      d(q) two numbers drawn in [-1, 1) for every pixel, G a Gaussian of width sigma

    x, y  (N, C, H, W)

    G adds up to 1, so the larger sigma, the larger alpha must be.  Simard, Steinkraus & Platt, "Best practices for
    convolutional neural networks applied to visual document analysis", 2003: alpha 34, sigma 4 for digits of 29 x 29.
    """

    alpha: NonNegative
    sigma: Positive = 4.0
    mode: Beyond = "reflect"
    value: Finite = 0.0
    label: Class = 0
    phase: Phase | None = None
    top: str | None = None
    numbers = 2

    def setup(self, x: Shape, training: Training) -> Shape:
        if self.sigma > WIDEST:
            raise Refusal("sigma", f"elastic: sigma is in pixels, at most {WIDEST}")
        return super().setup(x, training)

    def places(self, height: int, width: int, u: Any) -> tuple[Any, Any]:
        from dltrain.data.chance import scattered
        from dltrain.data.resample import bell, separable

        d = scattered(u, (2, height, width)) * np.float32(2) - np.float32(1)
        smooth = separable(d.reshape(-1, height, width), bell(height, self.sigma), bell(width, self.sigma))
        here = np.broadcast_to(np.eye(2, 3), (len(u), 2, 3))
        return here, smooth.reshape(len(u), 2, -1) * np.float32(self.alpha)
