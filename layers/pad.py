"""Pad: a border around an image."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Pad")
class Pad(Layer):
    """y = x with `pad` places before it and `pad_after` places after it on each axis from `axis` on.

    bottom  x  (N, C, H, W)
    top     y  (N, C, pad + H + pad_after, pad + W + pad_after)

    Without `pad_after`, as many as `pad`.  mode zero: 0; edge: the nearest element of x; reflect: x turned round at its edge,
    which itself is not repeated: c b a b c.
    """

    pad: PerAxisFromZero = (0,)
    pad_after: PerAxisFromZero | None = None
    mode: Literal["zero", "reflect", "edge"] = "zero"
    axis: int = 2

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        at = self.class_axis(self.axis, x)
        axes = len(x) - at
        made = []
        for key, given in (("pad", self.pad), ("pad_after", self.pad if self.pad_after is None else self.pad_after)):
            value = spread(given, axes)
            if value is None:
                raise Refusal(key, f"needs 1 or {axes} numbers for the axes {at} to {len(x) - 1}")
            if self.mode == "reflect" and any(p >= n for p, n in zip(value, x[at:])):
                raise Refusal(key, f"must be smaller than the image, {Shape(x[at:])}, which is turned round; choose mode: edge")
            made.append(value)
        self.starts = (0,) * at + made[0]
        return Shape((*x[:at], *(p + n + q for p, n, q in zip(made[0], x[at:], made[1]))))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.pad(x.data, y.data, self.starts, self.mode)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.mode == "zero":
            self.ops.crop(y.grad, x.grad, self.starts)
        else:
            self.ops.pad_dx(y.grad, x.grad, self.starts, self.mode)
