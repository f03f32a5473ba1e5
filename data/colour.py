"""Steps that change what the pixels of a picture say of colour, and how sharp they stand against their neighbours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dltrain.data.transforms import WIDEST, Phase, Range, between, float_samples, need_image, need_numbers, samples, spanned
from dltrain.errors import Refusal
from dltrain.fields import NonNegative, Positive
from dltrain.source import Arrays, Draw, Shape, Step, Training, transform

GREY = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue look: ITU-R BT.601
YIQ = np.array([GREY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # brightness, and the plane of colours


def need_picture(step: str, x: Shape) -> None:
    need_numbers(step, x)
    need_image(step, x)


def need_three(step: str, key: str, x: Shape) -> None:
    if x[0] != 3:
        raise Refusal(key, f"{step}: needs red, green and blue, not {x[0]} channel{'s' * (x[0] != 1)}")


def factors(amount: float, u: Any) -> Any:
    """Between 1 - amount, at least 0, and 1 + amount."""
    return between(max(0.0, 1 - amount), 1 + amount, u)


@transform("colour")
class Colour(Step):
    """y = H(h) S(s) (m + c (b x - m))      m the mean brightness of b x; in train only

    brightness   b between 1 - brightness and 1 + brightness
    contrast     c likewise
    saturation   s likewise:  S x = g + s (x - g),  g = 0.299 R + 0.587 G + 0.114 B
    hue          h between -hue and hue of a full turn of the plane of colours (I and Q of YIQ), g staying as it is

    x, y  (N, C, H, W); saturation and hue need C = 3 (R, G, B)

    Nothing is cut off at black and white: {clip: [0, 255]} does that.
    """

    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    phase: Phase | None = None
    top: str | None = None
    numbers = 4

    def setup(self, x: Shape, training: Training) -> Shape:
        need_picture("colour", x)
        for key in ("saturation", "hue"):
            if getattr(self, key):
                need_three("colour", key, x)
        return x

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None else self.changed(float_samples(x), u[None])[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x if draw is None else self.changed(x, draw.uniform(4))

    def changed(self, x: Any, u: Any) -> Any:
        from dltrain.data.mixing import mean_brightness, mixed

        channels = x.shape[1]
        grey = GREY if channels == 3 else np.full(channels, 1 / channels)
        b, c = factors(self.brightness, u[:, 0]), factors(self.contrast, u[:, 1])
        matrix = (b * c)[:, None, None] * np.eye(channels)
        if channels == 3:
            matrix = turns(self.hue * (2 * u[:, 3] - 1)) @ faded(factors(self.saturation, u[:, 2])) @ matrix
        offset = ((1 - c) * b * mean_brightness(x, grey))[:, None] * np.ones(channels)
        return mixed(x, matrix, offset)


def faded(s: Any) -> Any:
    """(N, 3, 3):  g + s (x - g)"""
    s = np.reshape(s, (-1, 1, 1))
    return s * np.eye(3) + (1 - s) * GREY


def turns(h: Any) -> Any:
    """(N, 3, 3): the plane of colours turned by the share h of a circle."""
    cos, sin, o = np.cos(2 * np.pi * h), np.sin(2 * np.pi * h), 0 * h
    turn = np.stack([o + 1, o, o, o, cos, -sin, o, sin, cos], axis=-1).reshape(-1, 3, 3)
    return np.linalg.inv(YIQ) @ turn @ YIQ


@transform("lighting")
class Lighting(Step):
    """y = x + sum_j a_j s_j p_j      a_j normal with the width `amount`, one for each j and sample; in train only

    p_j, s_j^2   eigenvectors and eigenvalues of the covariance of the channels over all pixels of train as it arrives here,
                 computed once and saved with the run

    x, y  (N, C, H, W)

    s_j, not s_j^2: the unit of the pixels does not matter.  Krizhevsky et al., "ImageNet classification with deep
    convolutional neural networks", 2012.
    """

    amount: NonNegative = 0.1
    phase: Phase | None = None
    top: str | None = None
    numbers = 2

    def __post_init__(self) -> None:
        self.axes: Any = None  # (C, C), float32; column j is s_j p_j

    def setup(self, x: Shape, training: Training) -> Shape:
        need_picture("lighting", x)
        if self.axes is None:
            count, total, products = 0, np.zeros(x[0]), np.zeros((x[0], x[0]))
            for part in training():
                for some in samples(part):
                    pixels = some.transpose(1, 0, 2, 3).reshape(x[0], -1).astype(np.float64)
                    count, total, products = count + pixels.shape[1], total + pixels.sum(axis=1), products + pixels @ pixels.T
            mean = total / count
            values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
            self.axes = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
        if len(self.axes) != x[0]:
            raise Refusal("", f"lighting: computed for {len(self.axes)} channels, but this field is {x}")
        return x

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None else self.lit(float_samples(x), u[None])[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x if draw is None else self.lit(x, draw.uniform(2))

    def lit(self, x: Any, u: Any) -> Any:
        from dltrain.data.chance import scattered

        a = scattered(u, (x.shape[1],), normal=True) * np.float32(self.amount)
        return x + (a[:, None, :] * self.axes).sum(axis=2)[:, :, None, None]

    def state(self) -> Arrays:
        return {} if self.axes is None else {"axes": self.axes}

    def restore(self, state: Arrays) -> None:
        self.axes = state.get("axes")


@transform("grey")
class Grey(Step):
    """y = 0.299 R + 0.587 G + 0.114 B, as one channel, or as `channels` of them that are alike

    x  (N, 3, H, W)        y  (N, channels, H, W)
    """

    channels: Literal[1, 3] = 1
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_picture("grey", x)
        need_three("grey", "", x)
        return Shape((self.channels, *x[1:]))

    def one(self, x: Any, u: Any) -> Any:
        return self.apply(float_samples(x), None)[0]

    def apply(self, x: Any, draw: Draw | None) -> Any:
        red, green, blue = GREY.astype(np.float32)
        y = red * x[:, :1] + green * x[:, 1:2] + blue * x[:, 2:]
        return y if self.channels == 1 else y.repeat(3, axis=1)


def blurred(x: Any, sigma: float) -> Any:
    """A sample of any type, under a Gaussian."""
    from dltrain.data.resample import bell, separable

    if sigma < 1e-3:
        return np.asarray(x, np.float32)
    return separable(x, bell(x.shape[1], sigma), bell(x.shape[2], sigma))


class Focus(Step):
    """A step of train alone, each sample by itself."""

    numbers = 1

    def setup(self, x: Shape, training: Training) -> Shape:
        need_picture(self.type, x)
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        return x if draw is None else super().apply(x, draw)


@transform("blur")
class Blur(Focus):
    """y = G * x      G a Gaussian of width s up to 3 s, and as far as the picture goes; adds up to 1

    train: s between 0 and sigma, or [low, high];   test: y = x

    x, y  (N, C, H, W)
    """

    sigma: Range
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        self.widths = spanned("blur", "sigma", self.sigma, lambda s: 0.0)
        if self.widths[0] < 0 or self.widths[1] > WIDEST:
            raise Refusal("sigma", f"blur: sigma is in pixels, between 0 and {WIDEST}")
        return super().setup(x, training)

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None else blurred(x, float(between(*self.widths, u[0])))


@transform("sharpen")
class Sharpen(Focus):
    """y = x + a (x - G * x)      G a Gaussian of width sigma;  train: a between 0 and amount;   test: y = x

    x, y  (N, C, H, W)
    """

    amount: NonNegative
    sigma: Annotated[Positive, Field(le=WIDEST)] = 1.0
    phase: Phase | None = None
    top: str | None = None

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None else x + np.float32(self.amount * u[0]) * (x - blurred(x, self.sigma))
