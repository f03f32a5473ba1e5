"""Input: where a net is fed from outside."""

from dltrain.errors import Refusal
from dltrain.fields import PerAxis
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Input")
class Input(Layer):
    """y = x;   without a bottom y = value, an array that whoever runs the net sets (0 until then)

    bottom  x  (N, shape...)  optional: a field of the source, whose samples must have `shape`
    top     y  as x; `shape` where there is no bottom

    Rarely needed: the fields of the source are blobs without it.  The value is a state, NAME.value, kept from step to step.
    """

    shape: PerAxis

    def setup(self, x: Shape | None = None) -> Shape:
        if x is not None and tuple(x[1:]) != self.shape:
            raise Refusal("shape", f"is {Shape(self.shape)}, but the samples of the bottom are {Shape(x[1:])}")
        self.value = self.state("value", self.shape) if x is None else None
        return Shape(self.shape) if x is None else x

    def forward(self, *blobs: Blob) -> None:
        self.ops.copy(self.value or blobs[0].data, blobs[-1].data)

    def backward(self, *blobs: Blob) -> None:
        self.ops.copy(blobs[-1].grad, blobs[0].grad if self.value is None else None)
