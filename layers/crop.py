"""Crop: the part of a blob that is as large as another."""

from dltrain.errors import Refusal
from dltrain.fields import PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Crop")
class Crop(Layer):
    """y = x from `offset` on, as much as `like` holds on each axis from `axis` on.

    bottoms x     (N, C, H, W)
            like  (N, any, H', W')     only its size is read
    top     y     (N, C, H', W')

    `offset` is one number for all cropped axes, or a list, one each.

    Long, Shelhamer & Darrell, CVPR 2015.
    """

    fixed = ("like",)

    axis: int = 2
    offset: PerAxisFromZero = (0,)

    def setup(self, x: Shape, like: Shape) -> Shape:
        at = self.class_axis(self.axis, x)
        if len(like) != len(x):
            raise Refusal("bottom", f"cannot crop {x} to {like}: give it as many axes")
        offset = spread(self.offset, len(x) - at)
        if offset is None:
            raise Refusal("offset", f"needs 1 or {len(x) - at} numbers for the axes {at} to {len(x) - 1}")
        for axis, (n, size, start) in enumerate(zip(x[at:], like[at:], offset), at):
            if start + size > n:
                raise Refusal("offset", f"leaves too little of axis {axis}: {n} from {start} on, and {size} are wanted")
        self.starts = (0,) * at + offset
        return Shape((*x[:at], *like[at:]), x.dtype)

    def forward(self, x: Blob, like: Blob, y: Blob) -> None:
        self.ops.crop(x.data, y.data, self.starts)

    def backward(self, x: Blob, like: Blob, y: Blob) -> None:
        self.ops.pad(y.grad, x.grad, self.starts, "zero")
