"""MatMul: the product of two blobs as matrices."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("MatMul")
class MatMul(Layer):
    """y = a b over the last two axes          da = dy b',   db = a' dy

    bottoms a  (N, ..., I, K)     (K, I) at the end with transpose_a
            b  (N, ..., K, J)     (J, K) at the end with transpose_b
    top     y  (N, ..., I, J)

    A bottom of two axes serves all matrices of the other, and its gradient is the sum over them.
    """

    transpose_a: bool = False
    transpose_b: bool = False

    def setup(self, a: Shape, b: Shape) -> Shape:
        self.real(a, b)
        if min(len(a), len(b)) < 2:
            raise Refusal("bottom", f"needs matrices, two axes or more, not {a} and {b}")
        if a[:-2] != b[:-2] and len(a) > 2 and len(b) > 2:
            raise Refusal("bottom", f"{a} and {b} differ before the last two axes")
        i, k = (a[-1], a[-2]) if self.transpose_a else (a[-2], a[-1])
        other, j = (b[-1], b[-2]) if self.transpose_b else (b[-2], b[-1])
        if k != other:
            raise Refusal("bottom", f"{a} and {b}: the matrices do not fit, {i} x {k} times {other} x {j}")
        return Shape((*(a[:-2] or b[:-2]), i, j))

    def forward(self, a: Blob, b: Blob, y: Blob) -> None:
        self.ops.matmul(a.data, b.data, y.data, self.transpose_a, self.transpose_b)

    def backward(self, a: Blob, b: Blob, y: Blob) -> None:
        if self.transpose_a:
            self.ops.matmul(b.data, y.grad, a.grad, self.transpose_b, True)
        else:
            self.ops.matmul(y.grad, b.data, a.grad, False, not self.transpose_b)
        if self.transpose_b:
            self.ops.matmul(y.grad, a.data, b.grad, True, self.transpose_a)
        else:
            self.ops.matmul(a.data, y.grad, b.grad, not self.transpose_a, False)
