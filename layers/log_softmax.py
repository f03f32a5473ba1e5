"""LogSoftmax: the logarithms of probabilities."""

from dltrain.layer import Blob, Layer, Shape, layer


@layer("LogSoftmax")
class LogSoftmax(Layer):
    """y = x - log(sum of exp(x) along `axis`)          dx = dy - exp(y) sum of dy

    bottom  x  (N, C, ...)
    top     y  the same shape; exp(y) sums to 1 along `axis`

    Exact where a probability would be 0: nothing is cut.
    """

    axis: int = 1

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        self.at = self.class_axis(self.axis, x)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.log_softmax(x.data, y.data, self.at)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.log_softmax_dx(y.data, y.grad, x.grad, self.at)
