"""Threshold: 1 above a value, 0 elsewhere."""

from dltrain.elementwise import Elementwise
from dltrain.fields import Finite
from dltrain.layer import Blob, layer
from dltrain.ops.formula import formula


@layer("Threshold")
class Threshold(Elementwise):
    """y = 1 if x > threshold else 0

    bottom  x  any shape
    top     y  the same shape

    No gradient goes through it: what lies below learns nothing from what lies above.
    """

    fixed = ("x",)
    monotone = True

    threshold: Finite = 0.0

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.elementwise((x.data,), y.data, formula(Threshold.f), (self.threshold, 1.0, 0.0), self.monotone)

    @staticmethod
    def f(x: float, threshold: float, above: float, below: float) -> float:
        return above if x > threshold else below

    def backward(self, x: Blob, y: Blob) -> None:
        """A step is flat on both sides."""
