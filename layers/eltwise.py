"""Eltwise: several blobs become one, element by element."""

from functools import reduce
from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Finite
from dltrain.layer import Blob, Layer, Shape, Tensor, layer
from dltrain.ops.formula import formula


@layer("Eltwise")
class Eltwise(Layer):
    """sum: y = coeff1 x1 + coeff2 x2 + ...;   prod: y = x1 x2 ...;   max, min: y = max(x1, x2, ...);
    sub: y = x1 - x2 - ...;   div: y = x1 / x2

    bottoms xs  two or more; along an axis where sizes differ they must be 1, and are repeated; a single number goes with any
    top     y   the largest of these sizes on each axis

    Between equal maxima of the first two bottoms the second gets the gradient; later ones must be greater (Caffe).
    """

    operation: Literal["sum", "prod", "max", "min", "sub", "div"] = "sum"
    coeff: tuple[Finite, ...] = ()

    def setup(self, *xs: Shape) -> Shape:
        self.real(*xs)
        if len(xs) < 2:
            raise Refusal("bottom", "needs two bottoms or more")
        if len(xs) > 2 and self.operation == "div":
            raise Refusal("bottom", f"div takes two bottoms, not {len(xs)}")
        y = reduce(self.common, xs)
        if self.coeff and self.operation != "sum":
            raise Refusal("coeff", f"belongs to operation sum, not {self.operation}")
        if self.coeff and len(self.coeff) != len(xs):
            raise Refusal("coeff", f"needs one number for each of the {len(xs)} bottoms")
        rest = -1.0 if self.operation == "sub" else 1.0
        self.weights = self.coeff or (1.0,) + (rest,) * (len(xs) - 1)
        self.wide = [None if x == y else self.buffer(f"wide{number}", y) for number, x in enumerate(xs)]
        self.winner = self.buffer("winner", y, "index") if self.operation in ("max", "min") else None
        return y

    @staticmethod
    def common(a: Shape, b: Shape) -> Shape:
        """The shape that both are repeated to."""
        for one, other in ((a, b), (b, a)):
            if one.count == 1 and len(one) <= len(other):
                return other
        if len(a) != len(b) or any(m != n and 1 not in (m, n) for m, n in zip(a, b)):
            raise Refusal("bottom", f"shapes differ: {a} and {b}; sizes must be equal, or 1")
        return Shape(n if m == 1 else m for m, n in zip(a, b))

    def forward(self, *blobs: Blob) -> None:
        *bottoms, y = blobs
        for x, wide in zip(bottoms, self.wide):
            self.ops.broadcast(x.data, wide)
        self.xs = tuple(wide or x.data for x, wide in zip(bottoms, self.wide))
        if self.operation in ("sum", "sub"):
            self.ops.weighted_sum(self.xs, y.data, self.weights)
        elif self.operation == "prod":
            self.ops.product(self.xs, y.data)
        elif self.operation == "div":
            self.ops.elementwise(self.xs, y.data, formula(quotient))
        elif self.operation == "max":
            self.ops.maximum(self.xs, y.data, self.winner)
        else:
            self.ops.minimum(self.xs, y.data, self.winner)

    def backward(self, *blobs: Blob) -> None:
        *bottoms, y = blobs
        for index, x in enumerate(bottoms):
            wide = self.buffer(f"wide_grad{index}", y.shape) if self.wide[index] and x.grad else None
            self.slope(index, y, wide or x.grad)
            if wide:
                self.ops.broadcast_dx(wide, x.grad)

    def slope(self, index: int, y: Blob, dx: Tensor | None) -> None:
        """The gradient by one bottom, in the shape of y."""
        if self.operation in ("sum", "sub"):
            self.ops.weighted_sum((y.grad,), dx, self.weights[index : index + 1])
        elif self.operation == "prod":
            self.ops.product_dx(self.xs, y.grad, dx, index)
        elif self.winner:
            self.ops.maximum_dx(y.grad, self.winner, dx, index)
        elif index == 0:
            self.ops.elementwise((self.xs[1], y.grad), dx, formula(quotient_da))
        else:
            self.ops.elementwise((self.xs[1], y.data, y.grad), dx, formula(quotient_db))


def quotient(a: float, b: float) -> float:
    return a / b


def quotient_da(b: float, dy: float) -> float:
    return dy / b


def quotient_db(b: float, y: float, dy: float) -> float:
    return -dy * y / b
