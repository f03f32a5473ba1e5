"""SoftShrink: everything moves towards 0, and what is near becomes 0."""

from dltrain.elementwise import Elementwise
from dltrain.fields import NonNegative
from dltrain.layer import layer


@layer("SoftShrink")
class SoftShrink(Elementwise):
    """y = x - lambda_ if x > lambda_, x + lambda_ if x < -lambda_, else 0          dx = dy if y is not 0, else 0

    bottom  x  any shape
    top     y  the same shape

    The step of sparse coding (ISTA): Daubechies et al., 2004; learned in LISTA: Gregor & LeCun, ICML 2010.
    """

    monotone = True

    lambda_: NonNegative = 0.5

    @staticmethod
    def f(x: float, lambda_: float) -> float:
        return x - lambda_ if x > lambda_ else (x + lambda_ if x < -lambda_ else 0 * x)

    @staticmethod
    def df(y: float, dy: float) -> float:
        return 0 if y == 0 else dy
