"""Concat: several blobs one behind another."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Concat")
class Concat(Layer):
    """y = x1, x2, ... one behind another along `axis` (from the end where negative).

    bottoms xs  (N, C1, H, W), (N, C2, H, W), ...      equal but for `axis`
    top     y   (N, C1 + C2 + ..., H, W)
    """

    axis: int = 1

    def setup(self, *xs: Shape) -> Shape:
        x = xs[0]
        self.at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 <= self.at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        for other in xs[1:]:
            if other.dtype != x.dtype:
                raise Refusal("bottom", f"{x} of {x.dtype} and {other} of {other.dtype} do not go together")
            if len(other) != len(x) or any(a != b for i, (a, b) in enumerate(zip(x, other)) if i != self.at):
                raise Refusal("bottom", f"sizes differ outside axis {self.at}: {x} and {other}")
        return Shape((*x[: self.at], sum(other[self.at] for other in xs), *x[self.at + 1 :]), x.dtype)

    def forward(self, *blobs: Blob) -> None:
        *xs, y = blobs
        self.ops.concat(tuple(x.data for x in xs), y.data, self.at)

    def backward(self, *blobs: Blob) -> None:
        *xs, y = blobs
        start = 0
        for x in xs:
            self.ops.cut(y.grad, x.grad, self.at, start)
            start += x.shape[self.at]
