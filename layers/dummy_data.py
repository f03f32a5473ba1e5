"""DummyData: made-up data, for nets without a source."""

from dltrain.fields import PerAxis, chosen
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops import philox


@layer("DummyData")
class DummyData(Layer):
    """y = what data_filler gives, drawn anew in every forward pass (in phase test: the same in every pass); 0 without one

    bottom  like  (N, ...)  optional: only its number of samples counts
    top     y     `shape`, or (N, shape...) with a bottom
    """

    random = True
    fixed = ("like",)

    shape: PerAxis
    data_filler: chosen("FILLERS") = None  # type: ignore[valid-type]

    def setup(self, like: Shape | None = None) -> Shape:
        self.key = philox.key(self.seed, f"dummy {self.name}")
        return Shape(self.shape if like is None else (like[0], *self.shape))

    def forward(self, *blobs: Blob) -> None:
        if self.data_filler is None:
            self.ops.fill(blobs[-1].data, 0.0)
        else:
            self.ops.draw(self.step, blobs[-1].data, self.data_filler, self.key)

    def backward(self, *blobs: Blob) -> None:
        """What is drawn has no gradient."""
