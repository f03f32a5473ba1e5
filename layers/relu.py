"""ReLU: let what is positive pass."""

from dltrain.elementwise import Elementwise
from dltrain.fields import Finite
from dltrain.layer import layer


@layer("ReLU")
class ReLU(Elementwise):
    """y = x if x > 0 else negative_slope x          dx = dy if y > 0 else negative_slope dy, so slope at 0

    bottom  x  any shape
    top     y  the same shape

    A negative slope (below 0) needs the sign of x, so the gradient asks for x and not for y.
    """

    negative_slope: Finite = 0.0

    def f(x, negative_slope):  # type: ignore[no-untyped-def]
        return x if x > 0 else negative_slope * x

    def df(x, dy, negative_slope):  # type: ignore[no-untyped-def]
        return dy if x > 0 else negative_slope * dy
