"""Parameter: a learnable array as a blob."""

from dltrain.fields import PerAxis
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Parameter")
class Parameter(Layer):
    """y = w;   with a bottom y[n] = w for each of its samples          dw = dy, or the sum of dy over the samples

    bottom  like  (N, ...)  optional: only its number of samples counts
    top     y     `shape`, or (N, shape...)
    param   weight  `shape`, 0

    All 0 at first, as in Caffe: a product with it learns only after param: {weight: {filler: gaussian}}.
    """

    fixed = ("like",)

    shape: PerAxis

    def setup(self, like: Shape | None = None) -> Shape:
        self.weight = self.param("weight", self.shape, "constant")
        self.each = None if like is None else self.buffer("each", (1, *self.shape))
        return Shape(self.shape if like is None else (like[0], *self.shape))

    def forward(self, *blobs: Blob) -> None:
        y = blobs[-1]
        if self.each is None:
            self.ops.copy(self.weight.data, y.data)
        else:
            self.ops.reshape(self.weight.data, self.each)
            self.ops.broadcast(self.each, y.data)

    def backward(self, *blobs: Blob) -> None:
        y, grad = blobs[-1], blobs[-1].grad
        if self.each is not None and self.weight.grad:
            total, grad = self.buffer("total", (1, *self.shape)), self.buffer("grad", self.shape)
            self.ops.broadcast_dx(y.grad, total)
            self.ops.reshape(total, grad)
        self.ops.add_into(grad, self.weight.grad)
