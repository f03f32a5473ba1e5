"""Softmax: scores become probabilities."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Softmax")
class Softmax(Layer):
    """y = exp(x) / sum of exp(x) along `axis`

    bottom  x  (N, C, ...)
    top     y  the same shape; sums to 1 along `axis`
    """

    axis: int = 1

    def setup(self, x: Shape) -> Shape:
        self.at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 < self.at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x} after the sample axis")
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.softmax(x.data, y.data, self.at)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.softmax_dx(y.data, y.grad, x.grad, self.at)
