"""Log: the logarithm of x in a base."""

from math import log

from dltrain.elementwise import Elementwise
from dltrain.errors import Refusal
from dltrain.fields import Finite
from dltrain.layer import Shape, layer


@layer("Log")
class Log(Elementwise):
    """y = log(shift + scale x) / log(base)          dx = dy scale / ((shift + scale x) log(base))

    bottom  x  any shape; shift + scale x must be positive
    top     y  the same shape

    base -1, the default, means e (Caffe).
    """

    base: Finite = -1.0
    scale: Finite = 1.0
    shift: Finite = 0.0

    def setup(self, x: Shape) -> Shape:
        if self.base in (0, 1) or (self.base < 0 and self.base != -1):
            raise Refusal("base", f"{self.base:g} must be greater than 0 and not 1, or -1 for e")
        return super().setup(x)

    @staticmethod
    def f(x: float, base: float, scale: float, shift: float) -> float:
        rate = log(base) if base > 0 else 1
        return log(shift + scale * x) / rate

    @staticmethod
    def df(x: float, dy: float, base: float, scale: float, shift: float) -> float:
        rate = log(base) if base > 0 else 1
        return dy * scale / ((shift + scale * x) * rate)
