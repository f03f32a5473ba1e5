"""First values of parameters: a distribution each, drawn from the seed and the parameter's name."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any, Literal

import numpy as np

from dltrain.fields import Finite, NonNegative
from dltrain.ops import philox
from dltrain.registry import FILLERS

filler = FILLERS.add

Fan = Literal["fan_in", "fan_out", "average"]


class Filler:
    """fill(shape, key) -> float64 array; a pure function of both."""

    type: str

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        raise NotImplementedError


def fan(shape: tuple[int, ...], norm: Fan) -> float:
    """Caffe's n: fan_in = count / shape[0], fan_out = count / shape[1] (count where there is one axis), or their mean."""
    count = prod(shape)
    fan_in, fan_out = count / shape[0], count / shape[1] if len(shape) > 1 else float(count)
    return {"fan_in": fan_in, "fan_out": fan_out, "average": (fan_in + fan_out) / 2}[norm]


@filler("constant")
class Constant(Filler):
    """w = value"""

    value: Finite = 0.0

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        return np.full(shape, self.value)


@filler("uniform")
class Uniform(Filler):
    """w ~ U[min, max)"""

    min: Finite = 0.0
    max: Finite = 1.0

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        return self.min + (self.max - self.min) * philox.uniform(key, 0, prod(shape)).reshape(shape)


@filler("gaussian")
class Gaussian(Filler):
    """w ~ N(mean, std)"""

    mean: Finite = 0.0
    std: NonNegative = 1.0

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        return self.mean + self.std * philox.normal(key, 0, prod(shape)).reshape(shape)


@filler("xavier")
class Xavier(Filler):
    """w ~ U(-a, a), a = sqrt(3 / n)          Glorot & Bengio, AISTATS 2010, with Caffe's n"""

    variance_norm: Fan = "fan_in"

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        a = sqrt(3.0 / fan(shape, self.variance_norm))
        return a * (2.0 * philox.uniform(key, 0, prod(shape)).reshape(shape) - 1.0)


@filler("msra")
class Msra(Filler):
    """w ~ N(0, sqrt(2 / n))          He et al., ICCV 2015"""

    variance_norm: Fan = "fan_in"

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        return sqrt(2.0 / fan(shape, self.variance_norm)) * philox.normal(key, 0, prod(shape)).reshape(shape)
