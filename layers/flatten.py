"""Flatten: several axes become one."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Flatten")
class Flatten(Layer):
    """y = x, the axes from `axis` to `end_axis` taken as one (both count from the end where negative).

    bottom  x  (N, C, H, W)
    top     y  (N, C H W)

    With axis: 0 the sample axis is taken in, too: (N C, H, W) for axis: 0, end_axis: 1.
    """

    axis: int = 1
    end_axis: int = -1

    def setup(self, x: Shape) -> Shape:
        first, last = (a + len(x) if a < 0 else a for a in (self.axis, self.end_axis))
        if not 0 <= first < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        if not first <= last < len(x):
            raise Refusal("end_axis", f"{self.end_axis} must lie between axis {first} and {len(x) - 1}")
        return Shape((*x[:first], Shape(x[first : last + 1]).count, *x[last + 1 :]), x.dtype)

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.reshape(x.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.reshape(y.grad, x.grad)
