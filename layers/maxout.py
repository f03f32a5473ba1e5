"""Maxout: of every few neighbouring maps, the largest."""

from typing import Annotated

from annotated_types import Ge

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Maxout")
class Maxout(Layer):
    """y[c] = max of x[c pieces], ..., x[c pieces + pieces - 1]

    bottom  x  (N, C, ...)
    top     y  (N, C / pieces, ...)

    The first of equals gets the gradient.  Goodfellow et al., ICML 2013.
    """

    pieces: Annotated[int, Ge(2)] = 2

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 2:
            raise Refusal("", f"needs a bottom with channels (N x C), not {x}")
        if x[1] % self.pieces:
            raise Refusal("pieces", f"{self.pieces} does not divide the bottom's {x[1]} channels")
        y = Shape((x[0], x[1] // self.pieces, *x[2:]))
        self.winner = self.buffer("winner", y, "index")
        return y

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.maxout(x.data, y.data, self.winner)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.maxout_dx(y.grad, self.winner, x.grad)
