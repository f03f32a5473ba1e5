"""InnerProduct: every output is a weighted sum of all inputs; also called fully connected, dense, linear."""

from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("InnerProduct")
class InnerProduct(Layer):
    """y = x w' + b, over the axes after the sample axis taken as one.

    bottom  x  (N, ...), K numbers a sample
    top     y  (N, num_output)
    params  weight  (num_output, K), msra before a ReLU, else xavier;   bias  (num_output), 0
    """

    num_output: Count
    bias_term: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        k = Shape(x[1:]).count
        flat = len(x) == 2
        self.flat = None if flat else self.buffer("flat", (x[0], k))
        self.flat_grad = None if flat else self.buffer("flat_grad", (x[0], k))
        self.weight = self.param("weight", (self.num_output, k), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        return Shape((x[0], self.num_output))

    def forward(self, x: Blob, y: Blob) -> None:
        if self.flat:
            self.ops.reshape(x.data, self.flat)
        self.ops.inner_product(self.flat or x.data, self.weight.data, self.bias.data if self.bias else None, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.inner_product_dw(self.flat or x.data, y.grad, self.weight.grad, self.bias.grad if self.bias else None)
        if x.wants_grad:
            self.ops.inner_product_dx(self.weight.data, y.grad, self.flat_grad or x.grad)
            if self.flat_grad:
                self.ops.reshape(self.flat_grad, x.grad)
