"""What a layer is.  The layers themselves are in layers/."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

from dltrain.errors import Refusal
from dltrain.ops.signature import Tracer
from dltrain.registry import LAYERS
from dltrain.tensor import Blob, DType, Param, Shape, Tensor

__all__ = ["Blob", "Layer", "Param", "Shape", "Tensor", "layer"]

layer = LAYERS.add  # @layer("Pooling") makes a dataclass of keyword fields and registers it, once


class Site(Protocol):
    """Where a layer stands: the graph under construction, which hands out handles."""

    def param(self, layer: Layer, role: str, shape: Shape, filler: str, **keys: float) -> Param: ...
    def state(self, layer: Layer, role: str, shape: Shape, init: float, per_split: bool) -> Tensor: ...
    def buffer(self, layer: Layer, role: str, shape: Shape) -> Tensor: ...
    def tally(self, layer: Layer, role: str, size: int) -> Tensor: ...


class Layer:
    """Traced once per graph: `setup` promises shapes, `forward` and `backward` emit calls of `ops` over handles.

    setup(*bottom shapes) -> top shape (or a list of them; [] where there is no top)
        asks for params, states and buffers, keeps the handles in attributes that are no fields;
        refuses what cannot be with Refusal(key, why)
    forward(*bottoms, *tops)        top.data     from bottom.data
    backward(*bottoms, *tops)       bottom.grad  from top.grad, written once, where bottom.wants_grad;
                                    each param's grad is added to

    Tops after the first are made only if read: their data is None otherwise, and an op with no output left is not emitted.
    The names of setup's arguments are the roles of the bottoms; one with a default may be left out, *xs takes any number.
    A layer never looks at data, allocates, or names a device, a memory layout or another layer.
    """

    type: ClassVar[str]
    kind: ClassVar[Literal["layer", "loss", "metric"]] = "layer"
    random: ClassVar[bool] = False  # draws random numbers
    rectifies: ClassVar[bool] = False  # passes about half of what it reads, so what makes it should be twice as varied
    cuts: ClassVar[bool] = False  # its top's size depends on data: measure(*bottoms) writes self.rows, setup reads self.kept
    more_tops: ClassVar[tuple[str, ...]] = ()  # roles of the tops after the first, made only if read
    topless: ClassVar[bool] = False  # has no top: nobody can read it
    fixed: ClassVar[tuple[str, ...]] = ("label", "weight")  # bottoms that never get a gradient
    higher_is_better: ClassVar[bool] = False  # of a loss or metric
    paths: ClassVar[tuple[str, ...]] = ()  # keys that name files: relative to the config
    parts: ClassVar[tuple[str, ...]] = ()  # names of the scores of a metric that has several: NAME.PART

    setup: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]

    # the graph gives these
    name: str = ""
    site: Site
    ops: Tracer
    train: bool = True
    seed: int = 0
    step: Tensor  # how many forward passes there have been: one number
    frozen: bool = False  # nothing of it may change: parameters, statistics
    kept: int | None = None
    rows: Tensor
    sums: Tensor

    def param(self, role: str, shape: tuple[int, ...], filler: str, **keys: float) -> Param:
        """A learnable array, in the snapshot as a weight.

        `filler`, with its keys, names its default first values; "weights" is msra where a reader rectifies (ReLU and its kin),
        else xavier.
        """
        return self.site.param(self, role, Shape(shape), filler, **keys)

    def state(self, role: str, shape: tuple[int, ...], init: float = 0.0, per_split: bool = False) -> Tensor:
        """An array that outlives the step and is in the snapshot: one for all splits, or one a split."""
        return self.site.state(self, role, Shape(shape), init, per_split)

    def buffer(self, role: str, shape: tuple[int, ...], dtype: DType = "float") -> Tensor:
        """An array that lives as long as the plan finds readers for it."""
        return self.site.buffer(self, role, Shape(shape, dtype))

    def tally(self, size: int = 2) -> Tensor:
        """The sums behind a score, added up over batches: (total, weight), or what `score` is a function of."""
        return self.site.tally(self, "sums", size)

    @staticmethod
    def real(*bottoms: Shape) -> None:
        """Refuses bottoms of integers, such as labels, where only real numbers make sense."""
        for x in bottoms:
            if x.dtype != "float":
                raise Refusal("bottom", f"needs real numbers, not the integers of {x}")

    @staticmethod
    def class_axis(axis: int, x: Shape) -> int:
        """An axis that counts classes, from the front; refused where there is none such after the sample axis."""
        at = axis + len(x) if axis < 0 else axis
        if not 0 < at < len(x):
            raise Refusal("axis", f"{axis} is not an axis of {x} after the sample axis")
        return at

    def labels(self, x: Shape, label: Shape) -> Sequence[int]:
        """What the bottom `label` may hold besides `ignore_label`: the classes of `axis`, unless the layer says otherwise."""
        return range(x[getattr(self, "axis", 1)])

    @staticmethod
    def details(sums: Any) -> Any:
        """What `dltrain test` shows besides the score: rows of numbers, or None."""
        return None

    def top_roles(self, bottoms: int) -> tuple[str, ...]:
        """Roles of the tops after the first: `more_tops`, unless the keys or the number of bottoms decide."""
        return self.more_tops

    @staticmethod
    def score(sums: Any) -> float | dict[str, float]:
        """The score from the sums over all batches: total / weight.  A metric of several gives them by name."""
        return float(sums[0] / sums[1]) if sums[1] else 0.0
