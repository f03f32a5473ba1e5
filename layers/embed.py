"""Embed: a learnt row of numbers for each word, symbol or class; a table look-up."""

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Embed")
class Embed(Layer):
    """y[..., :] = w[x[...]] + b

    bottom  x  any shape, integers 0 .. input_dim - 1
    top     y  the shape of x, then num_output
    params  weight  (input_dim, num_output), xavier;   bias  (num_output), 0

    The same as InnerProduct on one-hot vectors, without the zeros.  One bias for all rows, on by default, as Caffe has it.
    Bengio et al., JMLR 2003
    """

    num_output: Count
    input_dim: Count
    bias_term: bool = True

    def setup(self, x: Shape) -> Shape:
        if x.dtype == "float":
            raise Refusal("bottom", f"needs integers 0 .. {self.input_dim - 1}, not the real numbers of {x}")
        self.weight = self.param("weight", (self.input_dim, self.num_output), "xavier")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        return Shape((*x, self.num_output))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.embed(x.data, self.weight.data, self.bias.data if self.bias else None, y.data, self.name)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.embed_dw(x.data, y.grad, self.weight.grad, self.bias.grad if self.bias else None)
