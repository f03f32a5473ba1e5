"""A net in the making: layers set up one by one, so that every shape is known; and blobs that know where the batch is.

A blob of ours has the batch on axis 0, whatever the file says: `batch` is the axis where the file's tensor has it, and all other
axes follow in their order.  So a transposition that only moves the batch is no layer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from pydantic import ValidationError

from dltrain.checks import adapter
from dltrain.errors import Refusal
from dltrain.layer import Layer
from dltrain.registry import LAYERS
from dltrain.tensor import Param, Shape, Tensor
from dltrain.translate.onnx_file import MOST

LARGEST = 1 << 31  # numbers of a sample of any blob
BATCH = 1009  # stands for the batch: a number that no size of a net is


class Differs(Exception):
    """Why a node cannot be said in layers."""


@dataclass(eq=False)
class Made:
    """A layer that will be a line."""

    type: str
    keys: dict[str, Any]
    bottoms: list[Blob | float | None]
    params: dict[str, Any]
    states: dict[str, Any]
    roles: list[str] = field(default_factory=list)  # of its params, in the order of the file of weights
    tops: list[Blob] = field(default_factory=list)
    node: Any = None  # where it comes from
    line: dict[str, Any] = field(default_factory=dict)  # what else the line says: param
    name: str = ""
    whole: bool = False  # of several nodes that are one module
    added: Any = None  # the node of its bias, where that is another


@dataclass(eq=False)
class Blob:
    """What a layer makes, or the net is given (part None)."""

    shape: Shape
    batch: int = 0
    part: Made | None = None
    top: int = 0
    name: str = ""  # of a field
    is_mask: bool = False  # places of a maximum, which only an Unpooling reads
    beside: tuple[int, int] = (0, 0)  # axes of ours before and behind the batch that share its axis in the file (onnx_rows.py)

    @property
    def sizes(self) -> list[int]:
        """The shape as the file has it."""
        rest, (before, behind) = list(self.shape[1:]), self.beside
        low, high = self.batch - before, self.batch + behind
        return [*rest[:low], self.shape[0] * prod(rest[low:high]), *rest[high:]]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def axis(self, axis: int) -> int:
        """An axis of the file's tensor as ours; the batch is refused."""
        at = axis + self.ndim if axis < 0 else axis
        if not 0 <= at < self.ndim:
            raise Differs(f"axis {axis} of a tensor with {self.ndim} axes")
        if at == self.batch:
            raise Differs(f"works along axis {axis}, which is the batch: samples do not meet in a net of ours")
        return at + 1 if at < self.batch else at


class Recorder:
    """Where a layer stands while it is set up: hands out handles, and notes what was asked for."""

    def __init__(self) -> None:
        self.params: dict[str, Shape] = {}
        self.states: dict[str, Shape] = {}

    def param(self, layer: Layer, role: str, shape: Shape, filler: str, **keys: float) -> Param:
        self.params[role] = shape
        return Param(Tensor(role, shape, "param"), Tensor(role, shape, "param_grad"))

    def state(self, layer: Layer, role: str, shape: Shape, init: float, per_split: bool) -> Tensor:
        self.states[role] = shape
        return Tensor(role, shape, "state")

    def buffer(self, layer: Layer, role: str, shape: Shape) -> Tensor:
        return Tensor(role, shape)

    def tally(self, layer: Layer, role: str, size: int) -> Tensor:
        return Tensor(role, Shape((size,), "double"), "tally")


class Graph:
    """The layers so far.  `node` is the one at work; `notes` are for the report."""

    def __init__(self) -> None:
        self.parts: list[Made] = []
        self.node: Any = None
        self.notes: list[str] = []
        self.classes: dict[str, int] = {}  # field -> how many classes it counts
        self.fixed: int | None = None  # the batch that the file was written for, where it says one
        self.truths: list[Made] = []  # layers whose numbers are 1, true, or 0

    def tops(
        self, kind: str, *bottoms: Blob | float | None, params: Mapping[str, Any] | None = None,
        states: Mapping[str, Any] | None = None, batch: int | None = None, **keys: Any,
    ) -> list[Blob]:  # fmt: skip
        """All tops of a new layer; the batch is where the first bottom has it, unless said."""
        given = {role: np.asarray(array, np.float32) for role, array in (params or {}).items()}
        held = {role: np.asarray(array, np.float32) for role, array in (states or {}).items()}
        shapes = [x.shape if isinstance(x, Blob) else None if x is None else Shape((1,)) for x in bottoms]
        layer, site = made_layer(kind, keys), Recorder()
        layer.name, layer.site, layer.train, layer.step = kind, site, False, Tensor("step", Shape((1,)), "scalar")
        try:
            promised = layer.setup(*shapes)
        except Refusal as refusal:
            words = re.sub(rf"\b{BATCH}\b", "N", str(refusal))
            raise Differs(f"{kind} {f'{refusal.key} ' if refusal.key and refusal.key != 'bottom' else ''}{words}") from None
        shapes_made = promised if isinstance(promised, list) else [promised]
        if min(size for shape in shapes_made for size in shape) < 1:
            raise Differs(f"{kind} would make {' and '.join(map(str, shapes_made))}")
        if (most := max(prod(shape[1:]) for shape in shapes_made)) > LARGEST:
            raise Differs(f"grows to {most:,} numbers a sample")
        for role, shape in (site.params | site.states).items():
            array = (given | held).get(role)
            if array is None or array.shape != shape:
                found = "nothing" if array is None else Shape(array.shape)
                raise Differs(f"the {role} of {kind} is {shape} here, and the file has {found}")
        part = Made(kind, keys, list(bottoms), given, held, list(site.params), node=self.node)
        first = next((x for x in bottoms if isinstance(x, Blob)), None)
        place = batch if batch is not None else first.batch if first is not None else 0
        part.tops = [Blob(shape, place, part, top) for top, shape in enumerate(shapes_made)]
        self.parts.append(part)
        return part.tops

    def __call__(self, kind: str, *bottoms: Blob | float | None, **keys: Any) -> Blob:
        """The first top of a new layer."""
        return self.tops(kind, *bottoms, **keys)[0]

    # --- the same numbers in another order ---
    def reshape(self, x: Blob, sizes: Sequence[int], batch: int | None = None) -> Blob:
        """Other axes after the batch, of these sizes.  A reshape of a reshape is one, and of nothing none."""
        if tuple(sizes) == tuple(x.shape[1:]):
            return moved(x, x.batch if batch is None else batch)
        source = x
        while source.part is not None and source.part.type in ("Reshape", "Flatten") and isinstance(source.part.bottoms[0], Blob):
            source = source.part.bottoms[0]
        place = x.batch if batch is None else batch
        if prod(sizes) != prod(source.shape[1:]):
            raise Differs(f"{Shape(source.shape[1:])} a sample cannot become {Shape(sizes)}")
        if tuple(sizes) == tuple(source.shape[1:]):
            return moved(source, place)
        if len(sizes) == 1 and source.ndim > 1:
            return self("Flatten", source, batch=place)
        return self("Reshape", source, shape=[0, *sizes], batch=place)

    def permute(self, x: Blob, order: Sequence[int], batch: int) -> Blob:
        """Axes of ours in another order, the batch first.  Two that undo each other are none."""
        if x.part is not None and x.part.type == "Permute" and isinstance(x.part.bottoms[0], Blob):
            order = [x.part.keys["order"][axis] for axis in order]
            x = x.part.bottoms[0]
        if list(order) == list(range(x.ndim)):
            return moved(x, batch)
        moving = [axis for axis in order if x.shape[axis] != 1]
        if moving == sorted(moving):  # only axes of one element change places
            return self.reshape(x, [x.shape[axis] for axis in order[1:]], batch)
        return self("Permute", x, order=list(order), batch=batch)

    def cut(self, x: Blob, axis: int, low: int, high: int) -> Blob:
        """x from low to high along an axis of ours."""
        size = x.shape[axis]
        points = [point for point in (low, high) if 0 < point < size]
        return self.tops("Slice", x, axis=axis, slice_point=points)[int(low > 0)] if points else x

    def blob(self, value: Any, like: Blob) -> Blob:
        """A constant as a blob, the same for every sample."""
        array = np.asarray(value)
        sizes = list(array.shape)
        if len(sizes) != like.ndim or not array.size or (array != np.take(array, [0], like.batch)).any():
            raise Differs(f"a constant of {Shape(sizes)} beside a blob of {Shape(like.shape[1:])} a sample")
        array = np.take(array, 0, like.batch)
        if array.dtype.kind not in "fiub" or not array.size:
            raise Differs("a constant that is no numbers")
        return self("Parameter", like, params={"weight": array}, shape=list(array.shape), batch=like.batch)


def made_layer(kind: str, keys: Mapping[str, Any]) -> Layer:
    """A layer from its keys, as a config makes it."""
    try:
        layer: Layer = adapter(LAYERS[kind]).validate_json(json.dumps(keys), strict=True)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        raise Differs(f"{kind} {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise Differs(f"{kind}: {error}") from None
    return layer


def moved(x: Blob, batch: int) -> Blob:
    """The same blob, seen with the batch elsewhere."""
    return x if x.batch == batch else Blob(x.shape, batch, x.part, x.top, x.name, x.is_mask)


def frozen(x: Blob, *given: Any) -> Blob:
    """A blob whose layer does not learn: its numbers are no weights but part of what it computes.  One that was given stays."""
    if x.part is not None and x.part.roles and not any(x is one for one in given):
        x.part.line = {"param": {role: {"freeze": True} for role in x.part.roles}}
    return x


def bounded(count: int) -> None:
    """Refuses what would grow far beyond the file."""
    if count > MOST:
        raise Differs(f"asks for a constant of {count:,} numbers; at most {MOST:,} are made")
