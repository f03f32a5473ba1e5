"""Reduction: one number from many, over the last axes."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Finite
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Reduction")
class Reduction(Layer):
    """y = coeff sum of x (asum: of |x|;  sumsq: of x^2;  mean: the mean of x) over `axis` and all axes after it

    bottom  x  (N, C, H, W)
    top     y  (N, C) for axis: 2;  one number for axis: 0

    The slope of |x| at 0 is 0.  Over axis 0 the samples of a batch are summed, too.
    """

    operation: Literal["sum", "asum", "sumsq", "mean"] = "sum"
    axis: int = 0
    coeff: Finite = 1.0

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 <= at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        return Shape(x[:at] or (1,))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.reduce(x.data, y.data, self.operation, self.coeff)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.reduce_dx(x.data, y.grad, x.grad, self.operation, self.coeff)
