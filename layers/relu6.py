"""ReLU6: a ReLU that stops at 6."""

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("ReLU6")
class ReLU6(Elementwise):
    """y = min(max(x, 0), 6)          dx = dy if 0 < y < 6 else 0

    bottom  x  any shape
    top     y  the same shape

    Krizhevsky, 2010, Convolutional deep belief networks on CIFAR-10.
    """

    rectifies = True
    monotone = True

    @staticmethod
    def f(x: float) -> float:
        return 0 if x < 0 else (6 if x > 6 else x)

    @staticmethod
    def df(y: float, dy: float) -> float:
        return dy if 0 < y < 6 else 0
