"""Softmax: scores become probabilities."""

from dltrain.layer import Blob, Layer, Shape, layer


@layer("Softmax")
class Softmax(Layer):
    """y = exp(x) / sum of exp(x) along `axis`

    bottom  x  (N, C, ...)
    top     y  the same shape; sums to 1 along `axis`
    """

    axis: int = 1

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        self.at = self.class_axis(self.axis, x)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.softmax(x.data, y.data, self.at)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.softmax_dx(y.data, y.grad, x.grad, self.at)
