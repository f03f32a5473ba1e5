"""TanH: squash to (-1, 1)."""

from math import tanh

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("TanH")
class TanH(Elementwise):
    """y = tanh(x)          dx = dy (1 - y^2)

    bottom  x  any shape
    top     y  the same shape
    """

    monotone = True

    @staticmethod
    def f(x: float) -> float:
        return tanh(x)

    @staticmethod
    def df(y: float, dy: float) -> float:
        return dy * (1 - y * y)
