"""Dropout: in training, forget each value with a given probability."""

from typing import Annotated

from annotated_types import Gt, Lt

from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops import philox


@layer("Dropout")
class Dropout(Layer):
    """Train: y = x / (1 - dropout_ratio) with probability 1 - dropout_ratio, else 0;   test: y = x

    bottom  x  any shape
    top     y  the same shape

    Srivastava et al., JMLR 2014, in the inverted form.  The gradient draws the same mask again; none is stored.
    """

    random = True

    dropout_ratio: Annotated[float, Gt(0), Lt(1)] = 0.5

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        self.key = philox.key(self.seed, f"dropout {self.name}")
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        if self.train:
            self.ops.dropout(x.data, self.step, y.data, self.dropout_ratio, self.key)
        else:
            self.ops.copy(x.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.train:
            self.ops.dropout(y.grad, self.step, x.grad, self.dropout_ratio, self.key)
        else:
            self.ops.copy(y.grad, x.grad)
