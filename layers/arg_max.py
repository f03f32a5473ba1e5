"""ArgMax: where the largest are."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("ArgMax")
class ArgMax(Layer):
    """y = places of the top_k largest of each sample, or along `axis`, largest first

    bottom  x  (N, ...)
    top     y  (N, 1, top_k) integers;  (N, 2, top_k) with out_max_val: places, then values
               with `axis`: x with top_k at that axis;  with out_max_val the values instead of the places

    Among equals the larger place comes first, as in Caffe.  There is no gradient.
    """

    fixed = ("x",)

    out_max_val: bool = False
    top_k: Count = 1
    axis: int | None = None

    def setup(self, x: Shape) -> Shape:
        self.at = None if self.axis is None else self.axis + len(x) if self.axis < 0 else self.axis
        if self.at is not None and not 0 <= self.at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        size = Shape(x[1:]).count if self.at is None else x[self.at]
        if self.top_k > size:
            raise Refusal("top_k", f"{self.top_k} is more than the {size} there are")
        dtype: Literal["float", "index"] = "float" if self.out_max_val else "index"
        if self.at is None:
            return Shape((x[0], 2 if self.out_max_val else 1, self.top_k), dtype)
        return Shape((*x[: self.at], self.top_k, *x[self.at + 1 :]), dtype)

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.arg_max(x.data, y.data, self.at, self.top_k, self.out_max_val)

    def backward(self, x: Blob, y: Blob) -> None:
        """A place does not change smoothly: there is no gradient."""
