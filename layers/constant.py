"""Constant: the same number everywhere."""

from dltrain.fields import Finite, PerAxis
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Constant")
class Constant(Layer):
    """y = value

    bottom  like  (N, ...)  optional: only its number of samples counts
    top     y     `shape`, or (N, shape...) with a bottom
    """

    fixed = ("like",)

    value: Finite
    shape: PerAxis = (1,)

    def setup(self, like: Shape | None = None) -> Shape:
        return Shape(self.shape if like is None else (like[0], *self.shape))

    def forward(self, *blobs: Blob) -> None:
        self.ops.fill(blobs[-1].data, self.value)

    def backward(self, *blobs: Blob) -> None:
        """A constant has no gradient."""
