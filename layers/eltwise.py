"""Eltwise: several blobs of one shape become one, element by element."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Finite
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Eltwise")
class Eltwise(Layer):
    """sum: y = coeff1 x1 + coeff2 x2 + ...;   prod: y = x1 x2 ...;   max: y = max(x1, x2, ...)

    bottoms xs  two or more of one shape
    top     y   the same shape

    Between equal maxima of the first two bottoms the second gets the gradient; later ones must be greater (Caffe).
    """

    operation: Literal["sum", "prod", "max"] = "sum"
    coeff: tuple[Finite, ...] = ()

    def setup(self, *xs: Shape) -> Shape:
        self.real(*xs)
        if len(xs) < 2:
            raise Refusal("bottom", "needs two bottoms or more")
        for x in xs[1:]:
            if x != xs[0]:
                raise Refusal("bottom", f"shapes differ: {xs[0]} and {x}")
        if self.coeff and self.operation != "sum":
            raise Refusal("coeff", f"belongs to operation sum, not {self.operation}")
        if self.coeff and len(self.coeff) != len(xs):
            raise Refusal("coeff", f"needs one number for each of the {len(xs)} bottoms")
        self.weights = self.coeff or (1.0,) * len(xs)
        self.winner = self.buffer("winner", xs[0], "index") if self.operation == "max" else None
        return xs[0]

    def forward(self, *blobs: Blob) -> None:
        *bottoms, y = blobs
        xs = tuple(x.data for x in bottoms)
        if self.operation == "sum":
            self.ops.weighted_sum(xs, y.data, self.weights)
        elif self.operation == "prod":
            self.ops.product(xs, y.data)
        else:
            self.ops.maximum(xs, y.data, self.winner)

    def backward(self, *blobs: Blob) -> None:
        *bottoms, y = blobs
        xs = tuple(x.data for x in bottoms)
        for index, x in enumerate(bottoms):
            if self.operation == "sum":
                self.ops.weighted_sum((y.grad,), x.grad, self.weights[index : index + 1])
            elif self.operation == "prod":
                self.ops.product_dx(xs, y.grad, x.grad, index)
            else:
                self.ops.maximum_dx(y.grad, self.winner, x.grad, index)
