"""Multiplicative: two blobs meet in every pair of their elements."""

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Multiplicative")
class Multiplicative(Layer):
    """y_k = sum over i, j of w_kij x_i z_j + b_k

    bottoms x  (N, ...)  I numbers a sample
            z  (N, ...)  J numbers a sample
    top     y  (N, num_output)
    params  weight  (num_output, I J), w_kij at (k, i J + j), msra before a ReLU, else xavier;   bias  (num_output), 0

    One input sets the weights by which the other is read: three-way units, bilinear layers.
    """

    num_output: Count
    bias_term: bool = True

    def setup(self, x: Shape, z: Shape) -> Shape:
        self.real(x, z)
        n, i, j = x[0], Shape(x[1:]).count, Shape(z[1:]).count
        if z[0] != n:
            raise Refusal("bottom", f"{x} and {z} differ in the number of samples")
        self.column, self.row = self.buffer("column", (n, i, 1)), self.buffer("row", (n, 1, j))
        self.pairs, self.flat = self.buffer("pairs", (n, i, j)), self.buffer("flat", (n, i * j))
        self.weight = self.param("weight", (self.num_output, i * j), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        return Shape((n, self.num_output))

    def forward(self, x: Blob, z: Blob, y: Blob) -> None:
        self.ops.reshape(x.data, self.column)
        self.ops.reshape(z.data, self.row)
        self.ops.matmul(self.column, self.row, self.pairs)
        self.ops.reshape(self.pairs, self.flat)
        self.ops.inner_product(self.flat, self.weight.data, self.bias.data if self.bias else None, y.data)

    def backward(self, x: Blob, z: Blob, y: Blob) -> None:
        self.ops.inner_product_dw(self.flat, y.grad, self.weight.grad, self.bias.grad if self.bias else None)
        if x.grad or z.grad:
            flat, pairs = self.buffer("flat_grad", self.flat.shape), self.buffer("pairs_grad", self.pairs.shape)
            self.ops.inner_product_dx(self.weight.data, y.grad, flat)
            self.ops.reshape(flat, pairs)
        for blob, other, transposed, shape in ((x, self.row, False, self.column.shape), (z, self.column, True, self.row.shape)):
            if blob.grad:
                grad = self.buffer("column_grad" if blob is x else "row_grad", shape)
                if transposed:
                    self.ops.matmul(other, pairs, grad, True)
                else:
                    self.ops.matmul(pairs, other, grad, False, True)
                self.ops.reshape(grad, blob.grad)
