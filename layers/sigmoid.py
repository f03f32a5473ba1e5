"""Sigmoid: squash to (0, 1)."""

from math import tanh

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("Sigmoid")
class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x)) = (tanh(x / 2) + 1) / 2          dx = dy y (1 - y)

    bottom  x  any shape
    top     y  the same shape
    """

    monotone = True

    @staticmethod
    def f(x: float) -> float:
        return 0.5 * tanh(0.5 * x) + 0.5

    @staticmethod
    def df(y: float, dy: float) -> float:
        return dy * y * (1 - y)
