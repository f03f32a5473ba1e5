"""AbsVal: the size of a number without its sign."""

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("AbsVal")
class AbsVal(Elementwise):
    """y = |x|          dx = dy, -dy where x < 0, 0 where x = 0

    bottom  x  any shape
    top     y  the same shape

    Jarrett et al., ICCV 2009.
    """

    @staticmethod
    def f(x: float) -> float:
        return abs(x)

    @staticmethod
    def df(x: float, dy: float) -> float:
        return dy if x > 0 else (-dy if x < 0 else 0)
