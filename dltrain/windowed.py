"""The contract of layers that move a window over an image: their keys as one Window, and the sizes that come of it."""

from __future__ import annotations

from dltrain.errors import Refusal
from dltrain.fields import PerAxis, PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, Tensor
from dltrain.ops.window import Window


class Windowed(Layer):
    """A window of kernel_size moves by stride over the spatial axes of x, pad around them, dilation between its taps.

    A layer declares those of the keys that it has.  One number stands for all spatial axes, however many there are.  With
    `axis` all axes before it are samples: in between the layer works on blobs whose samples are on one axis.
    """

    kernel_size: PerAxis | None
    stride: PerAxis
    pad: PerAxisFromZero
    dilation: PerAxis
    group: int = 1
    axis: int = 1

    window: Window
    inner: tuple[Blob, Blob] | None

    def image(self, x: Shape) -> Shape:
        """x with its samples on one axis, (N, C, H, W...); refused where no axis is spatial."""
        self.real(x)
        at = self.class_axis(self.axis, x) if len(x) > 1 else 1
        if len(x) < at + 2:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        return Shape((Shape(x[:at]).count, *x[at:]))

    def geometry(self, image: Shape) -> Window:
        """The keys, a number for each spatial axis."""
        axes, made = len(image) - 2, []
        for key in ("kernel_size", "stride", "pad", "dilation"):
            value = spread(getattr(self, key, (1,)), axes)
            if value is None:
                raise Refusal(key, f"needs 1 or {axes} numbers for {axes} spatial axes")
            made.append(value)
        for count, whose in ((image[1], "the bottom's {} channels"), (getattr(self, "num_output", 0), "num_output {}")):
            if count % self.group:
                raise Refusal("group", f"{self.group} does not divide {whose.format(count)}")
        kernel, stride, pad, dilation = made
        return Window(kernel, stride, pad, dilation, self.group)

    def shrunk(self, image: Shape) -> tuple[int, ...]:
        """floor((H + 2 pad - (dilation (kernel_size - 1) + 1)) / stride) + 1 on each spatial axis"""
        sizes = self.window.convolved(image[2:])
        if min(sizes) < 1:
            size, room = Shape(self.window.extent), Shape(n + 2 * p for n, p in zip(image[2:], self.window.pad))
            raise Refusal("kernel_size", f"is larger than its bottom: {size} over {room}, padding included")
        return sizes

    def grown(self, image: Shape) -> tuple[int, ...]:
        """stride (H - 1) + dilation (kernel_size - 1) + 1 - 2 pad on each spatial axis: what `shrunk` made smaller"""
        window = self.window
        axes = zip(image[2:], window.stride, window.extent, window.pad)
        sizes = tuple(s * (n - 1) + e - 2 * p for n, s, e, p in axes)
        if min(sizes) < 1:
            raise Refusal("pad", f"takes away all of the top, {Shape(n + 2 * p for n, p in zip(sizes, window.pad))} without it")
        return sizes

    def outer(self, x: Shape, image: Shape, y: Shape) -> Shape:
        """y with as many axes of samples as x has; where these are several, the layer works on buffers."""
        self.inner = None
        if len(image) < len(x):
            bottom, top = (
                Blob(self.buffer(role, shape), self.buffer(f"{role}_grad", shape))
                for role, shape in (("folded", image), ("top", y))
            )
            self.inner = bottom, top
        return Shape((*x[: 1 + len(x) - len(image)], *y[1:]))

    def folded(self, x: Blob, y: Blob) -> tuple[Blob, Blob]:
        """The blobs to work on: x and y themselves, or the buffers for them."""
        if self.inner is None:
            return x, y
        bottom, top = self.inner
        return Blob(bottom.data, bottom.grad if x.wants_grad else None), top

    def carry(self, source: Tensor | None, target: Tensor | None) -> None:
        """Between a blob and the buffer for it."""
        if source is not target:
            self.ops.reshape(source, target)
