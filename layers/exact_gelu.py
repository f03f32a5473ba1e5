"""ExactGELU: x times the share of a normal distribution that lies below x, without an approximation by tanh."""

from math import exp

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("ExactGELU")
class ExactGELU(Elementwise):
    """y = x Phi(x) = x/2 (1 + erf(x / sqrt 2))          dx = dy (Phi(x) + x exp(-x^2/2) / sqrt(2 pi))

    bottom  x  any shape
    top     y  the same shape

    What PyTorch calls GELU unless told otherwise; GELU is its form with tanh, up to 5e-4 away.  The smaller of the two shares is
    computed as such, within 1e-7 of itself, so far below 0 nothing cancels.  Hendrycks & Gimpel, 2016, arXiv:1606.08415.
    """

    rectifies = True

    @staticmethod
    def f(x: float) -> float:
        z = abs(x) * 0.7071067811865476
        s = z * z if z < 1 else 1
        t = 1 / (1 + 0.5 * z)
        a = ((-9.66704457149e-06 * s + 0.000112659590256) * s - 0.000848408040554) * s + 0.00522103180786
        a = (((a * s - 0.0268654307277) * s + 0.112837824952) * s - 0.37612638468) * s + 1.12837916706
        b = ((0.0939210176083 * t - 0.228245865758) * t + 0.0859866510319) * t + 0.0578009716881
        b = (((b * t + 0.180396721157) * t + 0.246510428486) * t + 0.28210471533) * t + 0.282094740414
        share = 0.5 - 0.5 * z * a if z < 1 else 0.5 * exp(-z * z) * b * t  # of what lies beyond |x|
        return x * share if x < 0 else x * (1 - share)

    @staticmethod
    def df(x: float, y: float, dy: float) -> float:
        share = 0.5 if x == 0 else y / x
        return dy * (share + 0.3989422804014327 * x * exp(-0.5 * x * x))
