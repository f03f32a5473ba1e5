"""HardSwish: Swish in three straight and curved pieces, without an exponential."""

from dltrain.elementwise import Elementwise
from dltrain.layer import layer


@layer("HardSwish")
class HardSwish(Elementwise):
    """y = x min(max(x + 3, 0), 6) / 6          dx = dy if x > 3, dy (2x + 3) / 6 if x > -3, else 0

    bottom  x  any shape
    top     y  the same shape

    Howard et al., ICCV 2019 (MobileNetV3).
    """

    rectifies = True

    @staticmethod
    def f(x: float) -> float:
        return 0 if x < -3 else (x if x > 3 else x * (x + 3) / 6)

    @staticmethod
    def df(x: float, dy: float) -> float:
        return dy if x > 3 else (dy * (2 * x + 3) / 6 if x > -3 else 0)
