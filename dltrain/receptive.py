"""Receptive fields: which part of the picture a place of a blob has seen, by the geometry of the layers below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any

from dltrain.layer import Layer
from dltrain.ops.window import Window
from dltrain.sketch import Node, View
from dltrain.tensor import Shape


@dataclass(frozen=True)
class Field:
    """What place i of a blob sees on one spatial axis: `size` elements of the input, their middle at start + i jump.

    The first element of the input lies at 0, so the input itself is (1, 1, 0).

    window k, stride s, pad p, dilation d    size + d (k - 1) jump               jump s    start + (d (k - 1) / 2 - p) jump
    its transpose (Deconvolution)            size + floor(d (k - 1) / s) jump    jump / s  start + (p - d (k - 1) / 2) jump / s
    Upsample by s                            size (bilinear: + jump)             jump / s  start - (s - 1) / 2 jump / s
    Pad p; Crop from c                       size                                jump      start - p jump; start + c jump
    several bottoms                          from the first element that any of them sees to the last

    Padding counts as seen.  What a normalisation takes over the whole picture (a mean, a deviation) does not count.

    Araujo, Norris & Sim, Computing receptive fields of convolutional neural networks, Distill 2019.
    """

    size: F = F(1)
    jump: F = F(1)
    start: F = F(0)

    def shrunk(self, extent: int, stride: int, pad: F) -> Field:
        """Under a window that spans `extent` elements."""
        return Field(self.size + (extent - 1) * self.jump, self.jump * stride, self.start + (F(extent - 1, 2) - pad) * self.jump)

    def grown(self, extent: int, stride: int, pad: int) -> Field:
        """Under the transpose of such a window."""
        jump = self.jump / stride
        return Field(self.size + (extent - 1) // stride * self.jump, jump, self.start + (pad - F(extent - 1, 2)) * jump)

    def moved(self, places: int) -> Field:
        return Field(self.size, self.jump, self.start + places * self.jump)


Seen = tuple[Field, ...] | None  # one an axis; None: all of the input, or no place in it
NOTHING: tuple[Field, ...] = ()  # seen by what does not hang on the input

# their tops have places, but not those of their bottoms
MIXING = {
    "InnerProduct", "Permute", "MatMul", "Gram", "Reshape", "Flatten", "Reduction", "Tile", "SPP", "ROIPooling", "Embed",
    "Python", "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell",
}  # fmt: skip
ALONG = {"Concat", "Slice", "Softmax", "LogSoftmax", "ArgMax", "Maxout"}  # so do those that work along a spatial `axis`


def receptive(view: View) -> dict[str, Seen]:
    """Blob -> what a place of it sees of the source's first field (of several pictures: of all, as if they lay on each other)."""
    seen: dict[str, Seen] = {}
    for name, shape in view.fields.items():
        pictured = shape.dtype == "float" and len(shape) > 2
        seen[name] = (Field(),) * (len(shape) - 2) if pictured else NOTHING if shape.dtype == "index" else None
    for name, node in view.nodes.items():
        made = through(node, {blob: seen.get(blob, seen.get(view.owner(blob))) for blob in node.reads}, view)
        seen[name] = made
    return seen


def through(node: Node, bottoms: Mapping[str, Seen], view: View) -> Seen:
    """What a place of a layer's top sees."""
    layer: Any = node.layer
    first = next(iter(bottoms.values()), NOTHING)
    parts = [first] if layer.type in ("Crop", "Unpooling") else list(bottoms.values())
    sees = [one for one in parts if one != NOTHING]
    if not sees:
        return NOTHING
    below = joined(sees)
    if below is None or node.shape is None or layer.type in MIXING or len(node.shape) != len(below) + 2:
        return None
    if layer.type in ALONG and layer.axis % len(node.shape) > 1:
        return None
    if layer.type in RULES:
        made: Seen = RULES[layer.type](layer, below, node.shape)
        return made
    sizes = {shape[2:] for blob in node.reads if (shape := shape_of(view, blob)) is not None and len(shape) == len(node.shape)}
    return below if sizes <= {node.shape[2:]} else None


def shape_of(view: View, blob: str) -> Shape | None:
    owner = view.owner(blob)
    return view.fields[owner] if owner in view.fields else view.nodes[owner].shape


def joined(parts: list[Seen]) -> Seen:
    """The smallest field around several; None where one is everything, or where their steps differ."""
    if None in parts or len({len(part) for part in parts if part is not None}) > 1:
        return None
    made = []
    for fields in zip(*(part for part in parts if part is not None), strict=True):
        if len({field.jump for field in fields}) > 1:
            return None
        low = min(field.start - (field.size - 1) / 2 for field in fields)
        high = max(field.start + (field.size - 1) / 2 for field in fields)
        made.append(Field(high - low + 1, fields[0].jump, (low + high) / 2))
    return tuple(made)


# --- layers that change places ---
def windowed(layer: Any, below: tuple[Field, ...], y: Shape) -> Seen:
    window: Window = layer.window
    if getattr(layer, "global_pooling", False) or len(window.kernel) != len(below):
        return None
    axes = zip(below, window.extent, window.stride, window.pad, strict=True)
    return tuple(field.shrunk(extent, stride, F(pad)) for field, extent, stride, pad in axes)


def transposed(layer: Any, below: tuple[Field, ...], y: Shape) -> Seen:
    window: Window | None = getattr(layer, "window", None)
    if window is None or len(window.kernel) != len(below):
        return None
    axes = zip(below, window.extent, window.stride, window.pad, strict=True)
    return tuple(field.grown(extent, stride, pad) for field, extent, stride, pad in axes)


def upsampled(layer: Any, below: tuple[Field, ...], y: Shape) -> Seen:
    wider = int(layer.mode == "bilinear")
    return tuple(
        Field(field.size + wider * field.jump, field.jump / s, field.start - F(s - 1, 2) * field.jump / s)
        for field, s in zip(below, layer.factors, strict=True)
    )


def padded(layer: Any, below: tuple[Field, ...], y: Shape) -> Seen:
    return tuple(field.moved(-start) for field, start in zip(below, layer.starts[2:], strict=True))


def cropped(layer: Any, below: tuple[Field, ...], y: Shape) -> Seen:
    return tuple(field.moved(start) for field, start in zip(below, layer.starts[2:], strict=True))


def local(layer: Layer, below: tuple[Field, ...], y: Shape) -> Seen:
    """A normalisation by what lies around each place; LocalContrastNorm looks twice."""
    size: int = getattr(layer, "local_size", 0) or getattr(layer, "kernel_size", 1)
    if getattr(layer, "norm_region", "") == "across_channels":
        return below
    times = 2 if getattr(layer, "operation", "") == "both" else 1
    for _ in range(times):
        below = tuple(field.shrunk(size, 1, F(size - 1, 2)) for field in below)
    return below


RULES: dict[str, Any] = {
    "Convolution": windowed, "LocallyConnected": windowed, "Im2col": windowed, "Pooling": windowed,
    "Deconvolution": transposed, "Unpooling": transposed, "Upsample": upsampled, "Pad": padded, "Crop": cropped,
    "LRN": local, "LocalContrastNorm": local,
}  # fmt: skip
