"""GELU: x times the share of a normal distribution that lies below x."""

from math import tanh

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("GELU")
class GELU(Elementwise):
    """y = x/2 (1 + tanh u),   u = sqrt(2/pi) (x + 0.044715 x^3)
    dx = dy/2 (1 + tanh u + x (1 - tanh^2 u) sqrt(2/pi) (1 + 0.134145 x^2))

    bottom  x  any shape
    top     y  the same shape

    The tanh form, within 5e-4 of x Phi(x), whose erf no formula has.  Hendrycks & Gimpel, 2016, arXiv:1606.08415.
    """

    rectifies = True

    @staticmethod
    def f(x: float) -> float:
        u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + tanh(u))

    @staticmethod
    def df(x: float, dy: float) -> float:
        t = tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
        return 0.5 * dy * (1 + t + x * (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * x * x))
