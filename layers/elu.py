"""ELU: a ReLU that goes on below 0, smoothly, down to -alpha."""

from math import exp

from dltrain.elementwise import Elementwise
from dltrain.fields import NonNegative
from dltrain.layer import layer


@layer("ELU")
class ELU(Elementwise):
    """y = x if x > 0 else alpha (exp(x) - 1)          dx = dy if y > 0 else dy (y + alpha)

    bottom  x  any shape
    top     y  the same shape

    Clevert et al., ICLR 2016.
    """

    rectifies = True
    monotone = True

    alpha: NonNegative = 1.0

    @staticmethod
    def f(x: float, alpha: float) -> float:
        return x if x > 0 else alpha * (exp(x) - 1)

    @staticmethod
    def df(y: float, dy: float, alpha: float) -> float:
        return dy if y > 0 else dy * (y + alpha)
