"""Gram: how strongly each channel goes with each other; the style of an image."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Gram")
class Gram(Layer):
    """y = x x' / (C P), x being a sample's C channels by its P places          dx = (dy + dy') x / (C P)

    bottom  x  (N, C, ...)
    top     y  (N, C, C)

    normalize: false leaves out the division.  Gatys, Ecker & Bethge, CVPR 2016; normalised as by Johnson et al., ECCV 2016.
    """

    normalize: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 3:
            raise Refusal("", f"needs a bottom with places behind the channels (N x C x H x W), not {x}")
        places = Shape(x[2:]).count
        self.scale = 1.0 / (x[1] * places) if self.normalize else 1.0
        self.flat = self.buffer("flat", (x[0], x[1], places))
        self.flat_grads = [self.buffer(f"flat_grad{number}", self.flat.shape) for number in range(3)]
        self.raw = self.buffer("raw", (x[0], x[1], x[1]))
        return Shape((x[0], x[1], x[1]))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.reshape(x.data, self.flat)
        self.ops.matmul(self.flat, self.flat, self.raw, False, True)
        self.ops.weighted_sum((self.raw,), y.data, (self.scale,))

    def backward(self, x: Blob, y: Blob) -> None:
        if x.grad:
            one, other, both = self.flat_grads
            self.ops.matmul(y.grad, self.flat, one)
            self.ops.matmul(y.grad, self.flat, other, True)
            self.ops.weighted_sum((one, other), both, (self.scale, self.scale))
            self.ops.reshape(both, x.grad)
