"""The contract of losses and metrics: which bottoms go together, and the sums behind their one number."""

from __future__ import annotations

from dltrain.errors import Refusal
from dltrain.layer import Layer, Shape, Tensor


class Scored(Layer):
    """y = 1/Z sum over places of what each costs, as much as it weighs.

    A place is what one label is for: of x without the `axis` of its classes, or each number of x.
    """

    axis: int
    at: int
    loss: Tensor
    z: Tensor

    def places(self, x: Shape) -> Shape:
        """x without the axis of its classes, which is then `at`."""
        self.at = self.class_axis(self.axis, x)
        return Shape((*x[: self.at], *x[self.at + 1 :]))

    @staticmethod
    def integers(x: Shape, label: Shape, places: Shape, wanted: str = "") -> None:
        """Refuses a label that is no integer for each place."""
        if not places or label != places or label.dtype == "float":
            wanted = wanted or f"{places} integers where x is {x}"
            raise Refusal("bottom", f"the label must be {wanted}, not {label} of {label.dtype}")

    @staticmethod
    def weighted(x: Shape, weight: Shape | None, *places: Shape) -> None:
        """Refuses a weight that is there, but neither for each sample of x nor for each place."""
        fitting = Shape(x[:1]), *places
        if weight is not None and weight not in fitting:
            raise Refusal("bottom", f"the weight must be {' or '.join(map(str, fitting))}, not {weight}")

    @staticmethod
    def as_many(a: Shape, b: Shape) -> bool:
        """Whether two bottoms have as many samples, and as many numbers a sample."""
        return a[0] == b[0] and a.count == b.count

    def alike(self, a: Shape, b: Shape, what: str = "numbers") -> None:
        """Refuses two predictions, or a prediction and a target, that are not `as_many`."""
        if not self.as_many(a, b):
            raise Refusal("bottom", f"needs as many {what} a sample in both bottoms, not {a} and {b}")

    def matched(self, x: Shape, other: Shape, what: str, each: str = "number of x") -> None:
        """Refuses what should come with each number of x and does not."""
        if not self.as_many(x, other):
            raise Refusal("bottom", f"needs a {what} for each {each}: {x} against {other}")

    def cost(self, places: tuple[int, ...]) -> Shape:
        """Asks for what a mean over places needs, and promises the one number."""
        self.loss = self.buffer("loss", places)
        self.z = self.buffer("z", (1,))
        self.sums = self.tally()
        return Shape((1,))
