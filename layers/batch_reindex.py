"""BatchReindex: samples in another order, some of them several times or not at all."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("BatchReindex")
class BatchReindex(Layer):
    """y[i] = x[index[i]]          dx[j] = sum of dy[i] over the i with index[i] = j

    bottoms x      (N, ...)
            index  (M)  integers, 0 .. N - 1
    top     y      (M, ...)

    A row whose index is no sample of x is NaN, so that training stops there.
    """

    fixed = ("index",)

    def setup(self, x: Shape, index: Shape) -> Shape:
        if len(index) != 1 or index.dtype == "float":
            raise Refusal("bottom", f"the index must be a list of integers, not {index} of {index.dtype}")
        return Shape((index[0], *x[1:]), x.dtype)

    def forward(self, x: Blob, index: Blob, y: Blob) -> None:
        self.ops.take(x.data, index.data, y.data)

    def backward(self, x: Blob, index: Blob, y: Blob) -> None:
        self.ops.take_dx(y.grad, index.data, x.grad)
