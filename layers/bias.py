"""Bias: to each channel a number of its own, learned or from another blob."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Bias")
class Bias(Layer):
    """y = x + z, z repeated over the axes of x before `axis` and after those it has

    bottoms x  (N, C, ...)
            z  (C, ...) optional: x from `axis` on, as far as z goes, or one number; without it z is the param `bias`
    top     y  the shape of x
    params  bias  num_axes axes of x from `axis` on (-1: to the end; 0: one number), 0

    A blob of terms for each sample and channel (N, C) needs axis: 0.
    """

    axis: int = 1
    num_axes: int = 1

    def setup(self, x: Shape, z: Shape | None = None) -> Shape:
        self.real(*(x, z) if z is not None else (x,))
        self.at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 <= self.at < max(len(x), 1):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        shape = self.own(x) if z is None else tuple(z)
        if shape != (1,) and x[self.at : self.at + len(shape)] != shape:
            fits = x[: len(shape)] == shape
            raise Refusal("axis", f"{z} does not go with {x} from axis {self.at} on" + "; axis: 0 would do" * fits)
        self.bias = self.param("bias", shape, "constant") if z is None else None
        return x

    def own(self, x: Shape) -> tuple[int, ...]:
        """The shape of a learned term."""
        if not -1 <= self.num_axes <= len(x) - self.at:
            room = len(x) - self.at
            raise Refusal("num_axes", f"{self.num_axes} must lie between -1 and {room}, the axes of {x} from axis {self.at} on")
        if self.at == 0 and self.num_axes:
            raise Refusal("axis", "0 is the sample, and parameters cannot belong to samples; a second bottom can")
        return x[self.at : None if self.num_axes == -1 else self.at + self.num_axes]

    def forward(self, *blobs: Blob) -> None:
        x, *z, y = blobs
        bias = z[0] if z else self.bias
        assert bias is not None
        self.ops.scale_bias(x.data, None, bias.data, y.data, self.at)

    def backward(self, *blobs: Blob) -> None:
        x, *z, y = blobs
        if z:
            self.ops.scale_bias_dz(None, y.grad, z[0].grad, self.at)
        elif self.bias:
            self.ops.scale_bias_dw(None, y.grad, None, self.bias.grad, self.at)
        self.ops.copy(y.grad, x.grad)
