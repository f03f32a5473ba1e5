"""ReLU: let what is positive pass."""

from dltrain.elementwise import Elementwise
from dltrain.fields import Finite
from dltrain.layer import Blob, Shape, layer


@layer("ReLU")
class ReLU(Elementwise):
    """y = x if x > 0 else negative_slope x          dx = dy if y > 0 else negative_slope dy, so slope at 0

    bottom  x  any shape
    top     y  the same shape
    """

    rectifies = True

    negative_slope: Finite = 0.0

    def setup(self, x: Shape) -> Shape:
        self.monotone = self.negative_slope >= 0
        return super().setup(x)

    @staticmethod
    def f(x: float, negative_slope: float) -> float:
        return x if x > 0 else negative_slope * x

    @staticmethod
    def df(y: float, dy: float, negative_slope: float) -> float:
        return dy if y > 0 else negative_slope * dy

    @staticmethod
    def df_of_x(x: float, dy: float, negative_slope: float) -> float:
        return dy if x > 0 else negative_slope * dy

    def backward(self, x: Blob, y: Blob) -> None:
        """y has the sign of x unless the slope is below 0; asking for y lets the plan overwrite x."""
        df = ReLU.df if self.monotone else ReLU.df_of_x
        self.emit(df, {"x": x.data, "y": y.data, "dy": y.grad}, x.grad)
