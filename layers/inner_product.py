"""InnerProduct: every output is a weighted sum of all inputs; also called fully connected, dense, linear."""

from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("InnerProduct")
class InnerProduct(Layer):
    """y = x w' + b, over the axes from `axis` on taken as one.

    bottom  x  (N, ...), K numbers a sample
    top     y  (N, num_output); with axis 2 (N, T, num_output) for x (N, T, ...)
    params  weight  (num_output, K), msra before a ReLU, else xavier; (K, num_output) by `transpose`;   bias  (num_output), 0

    With `transpose` the fillers take the fan-in for the fan-out, as Caffe's do.
    """

    num_output: Count
    bias_term: bool = True
    axis: int = 1
    transpose: bool = False

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        at = self.class_axis(self.axis, x) if len(x) > 1 else 1
        n, k, o = Shape(x[:at]).count, Shape(x[at:]).count, self.num_output
        self.flat = None if len(x) == 2 else Blob(self.buffer("flat", (n, k)), self.buffer("flat_grad", (n, k)))
        self.top = None if at == 1 else Blob(self.buffer("top", (n, o)), self.buffer("top_grad", (n, o)))
        self.plain = self.buffer("plain", (n, o)) if self.transpose and self.bias_term else None
        self.weight = self.param("weight", (k, o) if self.transpose else (o, k), "weights")
        self.bias = self.param("bias", (o,), "constant") if self.bias_term else None
        return Shape((*x[:at], o))

    def forward(self, x: Blob, y: Blob) -> None:
        bottom, top, bias = self.flat or x, self.top or y, self.bias.data if self.bias else None
        if bottom is not x:
            self.ops.reshape(x.data, bottom.data)
        if not self.transpose:
            self.ops.inner_product(bottom.data, self.weight.data, bias, top.data)
        else:  # x w is the product by which the other layout makes its gradient
            self.ops.inner_product_dx(self.weight.data, bottom.data, self.plain or top.data)
        if self.plain:
            self.ops.scale_bias(self.plain, None, bias, top.data, 1)
        if top is not y:
            self.ops.reshape(top.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        bottom, top, bias = self.flat or x, self.top or y, self.bias.grad if self.bias else None
        if top is not y:
            self.ops.reshape(y.grad, top.grad)
        if not self.transpose:
            self.ops.inner_product_dw(bottom.data, top.grad, self.weight.grad, bias)
            self.ops.inner_product_dx(self.weight.data, top.grad, bottom.grad if x.wants_grad else None)
        else:
            self.ops.inner_product_dw(top.grad, bottom.data, self.weight.grad, None)
            self.ops.inner_product_dw(bottom.data, top.grad, None, bias)
            self.ops.inner_product(top.grad, self.weight.data, None, bottom.grad if x.wants_grad else None)
        if bottom is not x and x.wants_grad:
            self.ops.reshape(bottom.grad, x.grad)
