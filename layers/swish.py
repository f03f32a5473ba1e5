"""Swish: x times the sigmoid of x, also called SiLU."""

from math import tanh

from dltrain.elementwise import Elementwise
from dltrain.fields import Finite
from dltrain.layer import layer


@layer("Swish")
class Swish(Elementwise):
    """y = x s,   s = 1 / (1 + exp(-beta x))          dx = dy s (1 + beta x (1 - s))

    bottom  x  any shape
    top     y  the same shape

    beta is a number, not learned.  Ramachandran et al., 2017, arXiv:1710.05941.
    """

    rectifies = True

    beta: Finite = 1.0

    @staticmethod
    def f(x: float, beta: float) -> float:
        return x * (0.5 * tanh(0.5 * beta * x) + 0.5)

    @staticmethod
    def df(x: float, dy: float, beta: float) -> float:
        s = 0.5 * tanh(0.5 * beta * x) + 0.5
        return dy * s * (1 + beta * x * (1 - s))
