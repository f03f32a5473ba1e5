"""Pooling: keep the largest, or the mean, of each window of an image."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import PerAxis, PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops.window import Window


@layer("Pooling")
class Pooling(Layer):
    """y = max (or mean) of x over a kernel_size window that moves by stride.

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, C, H', W')         H' = ceil((H + 2 pad - kernel_size) / stride) + 1

    Ceil, not floor: the last window may hang over the edge, as Caffe has it; with pad, the last window must start
    inside the image or the padding before it.  The mean counts padding, but not what hangs over beyond it.
    """

    pool: Literal["max", "mean"] = "max"
    kernel_size: PerAxis
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)
    round: Literal["ceil", "floor"] = "ceil"

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 3:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        keys = ("kernel_size", "stride", "pad")
        values = [spread(getattr(self, key), len(x) - 2) for key in keys]
        for key, value in zip(keys, values):
            if value is None:
                raise Refusal(key, f"needs 1 or {len(x) - 2} numbers for {len(x) - 2} spatial axes")
        self.window = Window(*values)  # type: ignore[arg-type]
        for k, p, n in zip(self.window.kernel, self.window.pad, x[2:]):
            if p >= k:
                raise Refusal("pad", f"{p} must be smaller than kernel_size {k}")
            if k > n + 2 * p:
                raise Refusal("kernel_size", f"{k} is larger than its bottom: {Shape(x[2:])}, padded by {p}")
        y = Shape((*x[:2], *self.window.pooled(x[2:], self.round == "ceil")))
        self.winner = self.buffer("winner", y, "index") if self.pool == "max" else None
        return y

    def forward(self, x: Blob, y: Blob) -> None:
        if self.pool == "max":
            self.ops.max_pool(x.data, y.data, self.winner, self.window)
        else:
            self.ops.mean_pool(x.data, y.data, self.window)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.pool == "max":
            self.ops.max_pool_dx(y.grad, self.winner, x.grad)
        else:
            self.ops.mean_pool_dx(y.grad, x.grad, self.window)
