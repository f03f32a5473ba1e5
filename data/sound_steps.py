"""Steps for sounds: cutting them to one length, and what disturbs a sound on its way to the ear."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.ops import philox
from dltrain.source import Shape, Step, Training, transform

Phase = Literal["train", "test"]
Decibels = Annotated[float, Field(ge=-100, le=200)]


def need_sound(step: str, x: Shape) -> None:
    if len(x) != 2 or x.dtype == "index":
        raise Refusal("", f"{step}: needs a sound (C x samples), not {x}")


@transform("cut")
class Cut(Step):
    """y_t = x_{a + t},   train: a drawn from 0 .. samples - size;   test: a = floor((samples - size) / 2)

    x  (N, C, samples)        y  (N, C, size)        a shorter x is followed by zeros
    """

    numbers: ClassVar[int] = 1

    size: Count
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_sound("cut", x)
        return Shape((x[0], self.size))

    def one(self, x: Any, u: Any) -> Any:
        spare = x.shape[1] - self.size
        if spare <= 0:
            return np.pad(x, ((0, 0), (0, -spare)))
        start = spare // 2 if u is None else int(u[0] * (spare + 1))
        return x[:, start : start + self.size]


@transform("shift")
class Shift(Step):
    """y_t = x_{t - s},   train: s drawn from -most .. most, zeros where there is nothing;   test: y = x

    x, y  (N, C, samples)
    """

    numbers: ClassVar[int] = 1

    most: Count
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_sound("shift", x)
        return x

    def one(self, x: Any, u: Any) -> Any:
        if u is None:
            return x
        samples = x.shape[1]
        s = max(-samples, min(samples, int(u[0] * (2 * self.most + 1)) - self.most))
        y = np.zeros_like(x)
        y[:, max(0, s) : samples + min(0, s)] = x[:, max(0, -s) : samples - max(0, s)]
        return y


@transform("echo")
class Echo(Step):
    """y_t = x_t + d x_{t - s},   train: s drawn from 1 .. delay, d from 0 .. decay;   test: y = x

    x, y  (N, C, samples)
    """

    numbers: ClassVar[int] = 2

    delay: Count
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_sound("echo", x)
        return x

    def one(self, x: Any, u: Any) -> Any:
        if u is None:
            return x
        s, d = 1 + int(u[0] * self.delay), np.float32(u[1] * self.decay)
        y = x.astype(np.float32)
        y[:, s:] += d * x[:, :-s]
        return y


@transform("background")
class Background(Step):
    """y = x + sigma n,   sigma^2 = mean(x^2) / 10^(snr / 10),   train: n normal noise, another in every epoch;   test: y = x

    x, y  (N, C, samples)        snr is in dB: at 0 the noise is as loud as the sound, at 20 a hundredth of its power
    """

    numbers: ClassVar[int] = 2

    snr: Decibels
    phase: Phase | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        need_sound("background", x)
        return x

    def one(self, x: Any, u: Any) -> Any:
        if u is None:
            return x
        key = int(u[0] * 2**32), int(u[1] * 2**32)  # the drawn numbers choose the noise
        noise = philox.normal(key, 0, x.size).reshape(x.shape)
        sigma = np.sqrt(np.square(x, dtype=np.float64).mean() / 10 ** (self.snr / 10))
        return (x + sigma * noise).astype(np.float32)
