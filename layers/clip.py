"""Clip: keep numbers between two bounds."""

from dltrain.elementwise import Elementwise
from dltrain.errors import Refusal
from dltrain.fields import Finite
from dltrain.layer import Shape, layer


@layer("Clip")
class Clip(Elementwise):
    """y = min if x < min, max if x > max, else x          dx = dy if min <= x <= max else 0

    bottom  x  any shape
    top     y  the same shape
    """

    monotone = True

    min: Finite
    max: Finite

    def setup(self, x: Shape) -> Shape:
        if self.min >= self.max:
            raise Refusal("min", f"{self.min:g} must be smaller than max {self.max:g}")
        return super().setup(x)

    @staticmethod
    def f(x: float, min: float, max: float) -> float:
        return min if x < min else (max if x > max else x)

    @staticmethod
    def df(x: float, dy: float, min: float, max: float) -> float:
        return dy if min <= x <= max else 0
