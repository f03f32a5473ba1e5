"""Exp: a base to the power of x."""

from math import exp, log

from dltrain.elementwise import Elementwise
from dltrain.errors import Refusal
from dltrain.fields import Finite
from dltrain.layer import Shape, layer


@layer("Exp")
class Exp(Elementwise):
    """y = base^(shift + scale x)          dx = dy y scale log(base)

    bottom  x  any shape
    top     y  the same shape

    base -1, the default, means e (Caffe).
    """

    base: Finite = -1.0
    scale: Finite = 1.0
    shift: Finite = 0.0

    def setup(self, x: Shape) -> Shape:
        if self.base <= 0 and self.base != -1:
            raise Refusal("base", f"{self.base:g} must be greater than 0, or -1 for e")
        self.monotone = self.scale * (1.0 if self.base == -1 else log(self.base)) >= 0
        return super().setup(x)

    @staticmethod
    def f(x: float, base: float, scale: float, shift: float) -> float:
        rate = log(base) if base > 0 else 1
        return exp(rate * (shift + scale * x))

    @staticmethod
    def df(y: float, dy: float, base: float, scale: float) -> float:
        rate = log(base) if base > 0 else 1
        return dy * y * (scale * rate)
