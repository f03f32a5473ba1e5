"""Reshape: the same numbers, in the same order, on other axes."""

from typing import Annotated

from annotated_types import Ge
from pydantic import BeforeValidator

from dltrain.errors import Refusal
from dltrain.fields import listed
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Reshape")
class Reshape(Layer):
    """y = x, num_axes axes from `axis` on (all, where -1) replaced by `shape`: 0 copies x's size there, one -1 is inferred

    bottom  x  any shape
    top     y  as many elements

    A negative `axis` counts from behind the last, so -1 appends axes.  Leave axis 0 to 0: batches differ in size.
    """

    shape: Annotated[tuple[Annotated[int, Ge(-1)], ...], BeforeValidator(listed)]
    axis: int = 0
    num_axes: Annotated[int, Ge(-1)] = -1

    def setup(self, x: Shape) -> Shape:
        first = self.axis + len(x) + 1 if self.axis < 0 else self.axis
        if not 0 <= first <= len(x):
            raise Refusal("axis", f"{self.axis} must lie between {-len(x) - 1} and {len(x)} for a bottom of {x}")
        last = len(x) if self.num_axes == -1 else first + self.num_axes
        if last > len(x):
            raise Refusal("num_axes", f"{self.num_axes} axes from axis {first} on are more than {x} has")
        middle = self.sizes(x, first, last)
        return Shape((*x[:first], *middle, *x[last:]), x.dtype)

    def sizes(self, x: Shape, first: int, last: int) -> list[int]:
        """`shape` with its 0 and -1 replaced."""
        if self.shape.count(-1) > 1:
            raise Refusal("shape", "has more than one -1; only one size can be inferred")
        if any(size == 0 and first + place >= last for place, size in enumerate(self.shape)):
            raise Refusal("shape", f"has a 0 where {x} has no axis to copy; give the size")
        made = [x[first + place] if size == 0 else size for place, size in enumerate(self.shape)]
        have, want = Shape(x[first:last]).count, Shape(size for size in made if size != -1).count
        if -1 in made and have % want == 0:
            made[made.index(-1)] = have // want
        elif -1 in made or have != want:
            raise Refusal("shape", f"{Shape(made)} does not fit the {have} elements of {Shape(x[first:last])}")
        return made

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.reshape(x.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.reshape(y.grad, x.grad)
