"""BNLL: a smooth ReLU, also called softplus."""

from math import exp, log

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("BNLL")
class BNLL(Elementwise):
    """y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))          dx = dy / (1 + exp(-x))

    bottom  x  any shape
    top     y  the same shape

    The second form cannot overflow.  Named after the binomial normal log likelihood.
    """

    monotone = True

    @staticmethod
    def f(x: float) -> float:
        return max(x, 0) + log(1 + exp(-abs(x)))

    @staticmethod
    def df(x: float, dy: float) -> float:
        e = exp(-abs(x))
        return dy / (1 + e) if x > 0 else dy * e / (1 + e)
