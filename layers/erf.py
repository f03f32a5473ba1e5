"""Erf: the share of a normal distribution between two sides, as imported nets compute it."""

from math import exp

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("Erf")
class Erf(Elementwise):
    """y = 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x          dx = dy 2/sqrt(pi) exp(-x^2)

    bottom  x  any shape
    top     y  the same shape

    A polynomial in x^2 up to 1, exp(-x^2) times one in 1 / (1 + |x|/2) beyond: within 3e-9.
    """

    @staticmethod
    def f(x: float) -> float:
        z = abs(x)
        s = z * z if z < 1 else 1
        t = 1 / (1 + 0.5 * z)
        a = ((-9.66704457149e-06 * s + 0.000112659590256) * s - 0.000848408040554) * s + 0.00522103180786
        a = (((a * s - 0.0268654307277) * s + 0.112837824952) * s - 0.37612638468) * s + 1.12837916706
        b = ((0.0939210176083 * t - 0.228245865758) * t + 0.0859866510319) * t + 0.0578009716881
        b = (((b * t + 0.180396721157) * t + 0.246510428486) * t + 0.28210471533) * t + 0.282094740414
        tail = exp(-x * x) * b * t
        return x * a if z < 1 else (1 - tail if x > 0 else tail - 1)

    @staticmethod
    def df(x: float, dy: float) -> float:
        return dy * 1.1283791670955126 * exp(-x * x)
