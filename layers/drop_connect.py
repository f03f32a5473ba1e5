"""DropConnect: an InnerProduct that, in training, forgets each weight with a given probability."""

from typing import Annotated

from annotated_types import Gt, Lt

from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops import philox


@layer("DropConnect")
class DropConnect(Layer):
    """Train: y = x (w m)' + b, m = 1 / (1 - dropout_ratio) with probability 1 - dropout_ratio, else 0;   test: y = x w' + b

    bottom  x  (N, ...), K numbers a sample
    top     y  (N, num_output)
    params  weight  (num_output, K), msra before a ReLU, else xavier;   bias  (num_output), 0

    One mask for all samples of a batch, in the inverted form (the paper draws one a sample, and approximates in the test).
    Wan et al., ICML 2013.
    """

    random = True

    num_output: Count
    dropout_ratio: Annotated[float, Gt(0), Lt(1)] = 0.5
    bias_term: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        k = Shape(x[1:]).count
        self.key = philox.key(self.seed, f"drop_connect {self.name}")
        self.flat = self.buffer("flat", (x[0], k))
        self.weight = self.param("weight", (self.num_output, k), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        self.masked = self.buffer("masked", self.weight.shape) if self.train else self.weight.data
        return Shape((x[0], self.num_output))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.reshape(x.data, self.flat)
        if self.train:
            self.ops.dropout(self.weight.data, self.step, self.masked, self.dropout_ratio, self.key)
        self.ops.inner_product(self.flat, self.masked, self.bias.data if self.bias else None, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        whole = self.buffer("whole_grad", self.weight.shape) if self.weight.grad else None
        kept = self.buffer("kept_grad", self.weight.shape) if self.weight.grad else None
        self.ops.fill(whole, 0.0)
        self.ops.inner_product_dw(self.flat, y.grad, whole, self.bias.grad if self.bias else None)
        self.ops.dropout(whole, self.step, kept, self.dropout_ratio, self.key)
        self.ops.add_into(kept, self.weight.grad)
        if x.grad:
            flat = self.buffer("flat_grad", self.flat.shape)
            self.ops.inner_product_dx(self.masked, y.grad, flat)
            self.ops.reshape(flat, x.grad)
