"""Power: x, scaled and shifted, to a power."""

from typing import Any

from dltrain.elementwise import Elementwise
from dltrain.fields import Finite
from dltrain.layer import Blob, layer


@layer("Power")
class Power(Elementwise):
    """y = (shift + scale x)^power          dx = dy power scale (shift + scale x)^(power - 1)

    bottom  x  any shape
    top     y  the same shape

    Power 0 is 1 everywhere and its gradient 0, also where shift + scale x = 0; 1 and 2 are done without a power.
    """

    power: Finite = 1.0
    scale: Finite = 1.0
    shift: Finite = 0.0

    def forward(self, x: Blob, y: Blob) -> None:
        f = {0.0: None, 1.0: Power.linear, 2.0: Power.square}.get(self.power, Power.f)
        if f is None:
            self.ops.fill(y.data, 1.0)
        else:
            self.emit(f, {"x": x.data}, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        df = {0.0: None, 1.0: Power.linear_df, 2.0: Power.square_df}.get(self.power, Power.df)
        if df is None:
            self.ops.fill(x.grad, 0.0)
        else:
            self.emit(df, {"x": x.data, "dy": y.grad}, x.grad)

    @staticmethod
    def f(x: float, power: float, scale: float, shift: float) -> Any:
        return (shift + scale * x) ** power

    @staticmethod
    def df(x: float, dy: float, power: float, scale: float, shift: float) -> Any:
        return dy * power * scale * (shift + scale * x) ** (power - 1)

    @staticmethod
    def linear(x: float, scale: float, shift: float) -> float:
        return shift + scale * x

    @staticmethod
    def linear_df(dy: float, scale: float) -> float:
        return dy * scale

    @staticmethod
    def square(x: float, scale: float, shift: float) -> float:
        return (shift + scale * x) * (shift + scale * x)

    @staticmethod
    def square_df(x: float, dy: float, scale: float, shift: float) -> float:
        return dy * 2 * scale * (shift + scale * x)
