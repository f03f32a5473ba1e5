"""One graph: the calls of one phase at one batch size, traced from the layers.  Shapes are known, memory is not."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from dltrain.layer import Blob, Layer, Param
from dltrain.ops.signature import Call, Tracer
from dltrain.store import Store
from dltrain.tensor import Shape, Tensor
from dltrain.wiring import ABSENT, UNKNOWN, Line, Ref


@dataclass(frozen=True)
class Demand:
    """Which graph: everything that distinguishes one from another."""

    phase: str
    sizes: tuple[int, ...]  # the samples of every field, and the steps of those that are sequences where they are cut short
    split: str = "train"
    upto: tuple[str, ...] = ()  # blobs: the graph that makes these, and nothing else
    kept: tuple[int, ...] = ()  # how many samples each cut has let through so far


@dataclass
class Graph:
    """Handles and calls.  `done` calls have been run by the graphs before the cuts; `cut` is read before the next graph."""

    demand: Demand
    calls: list[Call] = field(default_factory=list)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    keep: list[Tensor] = field(default_factory=list)  # read after the run
    scalars: dict[str, Tensor] = field(default_factory=dict)  # filled before each run: step, loss weights
    values: dict[str, float] = field(default_factory=dict)  # what they are filled with, where that is constant
    losses: dict[str, Tensor] = field(default_factory=dict)
    prices: list[Tensor] = field(default_factory=list)  # what the objective asks of its shares
    tallies: dict[str, tuple[Layer, Tensor]] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    cut: Tensor | None = None
    done: int = 0

    def scalar(self, name: str, value: float | None = None) -> Tensor:
        """A 1-element tensor, filled with `value` or, without one, anew before each run."""
        if name not in self.scalars:
            self.scalars[name] = Tensor(name, Shape((1,), "double" if name == "step" else "float"), "scalar")
        if value is not None:
            self.values[name] = value
        return self.scalars[name]


class Builder:
    """Traces the needed lines of a net into a Graph; is what layers know as their site."""

    def __init__(
        self, lines: list[Line], order: list[int], fields: dict[str, Shape], store: Store, demand: Demand, seed: int
    ) -> None:
        self.lines, self.store, self.seed = lines, store, seed
        self.order, self.fields = order, fields
        self.graph = Graph(demand)
        self.tops: dict[tuple[int, int], Blob] = {}
        self.layers: dict[int, Layer] = {}
        self.params: dict[str, list[Param]] = {}
        self.learns: set[int] = set()
        self.turns: dict[str, list[tuple[Tensor, Param]]] = {}  # layer -> gradients of matrices that are others' transposed
        self.cuts = iter(demand.kept)
        self.numbers = {line.name: number for number, line in enumerate(lines)}
        self.rectified = {ref.line for line in lines if line.layer.rectifies for ref in line.refs}  # lines that a ReLU reads

    # --- what a layer asks of its site ---
    def param(self, layer: Layer, role: str, shape: Shape, filler: str, **keys: float) -> Param:
        number = self.numbers[layer.name]
        if filler == "weights":
            filler = "msra" if number in self.rectified else "xavier"
        spec = self.lines[number].spec(role)
        if spec.transpose and spec.share is not None:
            made = self.turned(layer, role, shape, spec.share)
        else:
            made = self.store.param(layer.name, role, shape, filler, spec, **keys)
        self.params.setdefault(layer.name, []).append(made)
        return made

    def turned(self, layer: Layer, role: str, shape: Shape, name: str) -> Param:
        """Another layer's matrix transposed: a copy for this layer's forward, whose gradient is added to the owner's."""
        owner, made = self.store.turn(layer.name, role, shape, name), Param(Tensor(f"{layer.name}.{role}", shape))
        self.tracer.permute(owner.data, made.data, (1, 0))
        if owner.wants_grad:
            made.grad = Tensor(f"{layer.name}.{role}.grad", shape)
            self.turns.setdefault(layer.name, []).append((made.grad, owner))
        return made

    def state(self, layer: Layer, role: str, shape: Shape, init: float, per_split: bool) -> Tensor:
        if not per_split:
            return self.store.state(f"{layer.name}.{role}", shape, init)
        made = {
            split: self.store.state(f"{layer.name}.{role}@{split}", shape, init) for split in ("train", "val", "test", "deploy")
        }
        return made[self.graph.demand.split]

    def buffer(self, layer: Layer, role: str, shape: Shape) -> Tensor:
        return Tensor(f"{layer.name}.{role}", shape)

    def tally(self, layer: Layer, role: str, size: int) -> Tensor:
        made = self.store.tally(f"{layer.name}.{role}", size)
        self.graph.tallies[layer.name] = (layer, made)
        return made

    # --- the trace ---
    def build(self) -> Graph:
        graph = self.graph
        self.tracer = Tracer(graph.calls)
        graph.scalar("step")
        needed = self.needed()
        self.read = {(ref.line, ref.top) for number in needed for ref in map(self.resolve, self.lines[number].refs)}
        self.read |= {(n, top) for n in needed for top, name in enumerate(self.lines[n].tops) if name in graph.demand.upto}
        if self.forward(needed) and graph.demand.phase == "train" and not graph.demand.upto:
            self.backward(needed)
        graph.keep += [
            blob.data for name, blob in graph.blobs.items() if name in graph.demand.upto or blob.data in graph.losses.values()
        ]
        return graph

    def resolve(self, ref: Ref) -> Ref:
        """Past the lines that this phase leaves out, to what stands for them: their first bottom."""
        while ref.line >= 0 and self.graph.demand.phase not in self.lines[ref.line].phases:
            above = self.lines[ref.line].refs
            ref = above[0] if above else UNKNOWN
        return ref

    def needed(self) -> list[int]:
        """The active lines above the targets, in order."""
        demand = self.graph.demand
        active = [number for number in self.order if demand.phase in self.lines[number].phases]
        goals = [n for n in active if set(self.lines[n].tops) & set(demand.upto)] if demand.upto else self.goals(active)
        found: set[int] = set()
        while goals:
            number = goals.pop()
            if number >= 0 and number not in found:
                found.add(number)
                goals += [self.resolve(ref).line for ref in self.lines[number].refs]
        return [number for number in active if number in found]

    def goals(self, active: list[int]) -> list[int]:
        """Losses and metrics; in the deploy graph, and where there are none, whatever nobody else reads."""
        scored = [number for number in active if self.lines[number].scored]
        if scored and self.graph.demand.phase != "deploy":
            return scored
        read = {self.resolve(ref).line for number in active if number not in scored for ref in self.lines[number].refs}
        judges = [line.refs for line in self.lines if line.layer.kind != "layer"]  # a loss reads scores first, then labels
        labels = {ref.line for refs in judges for ref in refs[1:]} - {ref.line for refs in judges for ref in refs[:1]}
        left = labels if self.graph.demand.phase == "deploy" else set()
        return [number for number in active if number not in read and number not in scored and number not in left]

    def blob(self, ref: Ref) -> Blob:
        """The blob that a ref stands for; fields of the source and numbers become inputs when first read."""
        ref = self.resolve(ref)
        if ref.number is not None:
            return Blob(self.graph.scalar(f"the number {ref.number:g}", ref.number))
        if ref.field is not None:
            if ref.field not in self.graph.inputs:
                shape = Shape((self.graph.demand.sizes[0], *self.fields[ref.field]), self.fields[ref.field].dtype)
                self.graph.inputs[ref.field] = Tensor(ref.field, shape, "input")
                self.graph.blobs[ref.field] = Blob(self.graph.inputs[ref.field])
            return self.graph.blobs[ref.field]
        return self.tops[ref.line, ref.top]

    def place(self, number: int) -> Layer:
        """A fresh copy of the line's layer, standing in this graph."""
        layer = copy.copy(self.lines[number].layer)
        layer.name, layer.site, layer.ops, layer.seed = self.lines[number].name, self, self.tracer, self.seed
        layer.train = self.graph.demand.phase == "train"
        layer.step = self.graph.scalars["step"]
        layer.frozen = self.lines[number].spec("").freeze
        self.layers[number] = self.graph.layers[layer.name] = layer
        return layer

    def forward(self, needed: list[int]) -> bool:
        """Sets up and traces each line; False where a cut must be read before the rest can be known."""
        for number in needed:
            layer, refs = self.place(number), self.lines[number].refs
            bottoms = [self.blob(ref) for ref in refs if ref != ABSENT]
            self.tracer.layer, self.tracer.way = layer.name, "forward"
            if layer.cuts and not self.through(layer, bottoms):
                return False
            made = layer.setup(*(None if ref == ABSENT else self.blob(ref).shape for ref in refs))
            shapes = zip(self.lines[number].tops, made if isinstance(made, list) else [made], strict=False)
            tops = [self.top(number, top, name, shape) for top, (name, shape) in enumerate(shapes)]
            layer.forward(*bottoms, *tops)
            if self.lines[number].weight:
                self.pay(self.lines[number], tops[0])
        return True

    def top(self, number: int, top: int, name: str, shape: Shape) -> Blob:
        """A new blob; further tops have no data where nobody reads them."""
        if top and (number, top) not in self.read:
            return Blob(None)  # type: ignore[arg-type]
        blob = self.tops[number, top] = self.graph.blobs[name] = Blob(Tensor(name, Shape(shape, shape.dtype)))
        return blob

    def pay(self, line: Line, top: Blob) -> None:
        """The line's share in the objective: a loss as it is, of any other blob the sum of its elements (Caffe's loss_weight)."""
        made = top.data
        if line.layer.kind == "layer":
            made = Tensor(f"{line.name}.total", Shape((1,)))
            self.tracer.total(top.data, self.tally(self.graph.layers[line.name], "sums", 2), made)
            self.graph.keep.append(made)
        self.graph.losses[line.name] = made

    def through(self, layer: Layer, bottoms: list[Blob]) -> bool:
        """Measures how many samples pass a cut; True where the number is known already."""
        layer.rows = Tensor(f"{layer.name}.rows", Shape((1,), "index"))
        layer.measure(*bottoms)  # type: ignore[attr-defined]
        layer.kept = next(self.cuts, None)
        if layer.kept is None:
            self.graph.cut = layer.rows
            self.graph.keep.append(layer.rows)
            return False
        self.graph.done = len(self.graph.calls)
        return True

    def backward(self, needed: list[int]) -> None:
        """Traces backward in reverse order, only where a parameter is below and a loss above."""
        for number in needed:
            own = any(param.wants_grad for param in self.params.get(self.lines[number].name, ()))
            line = self.lines[number]
            if own or any(self.resolve(ref).line in self.learns and line.sends_down(i) for i, ref in enumerate(line.refs)):
                self.learns.add(number)
        shares: dict[tuple[int, int], list[Tensor]] = {}
        for number in reversed(needed):
            if number in self.learns:
                self.backward_line(number, shares)

    def backward_line(self, number: int, shares: dict[tuple[int, int], list[Tensor]]) -> None:
        """Joins the gradients that the readers of a line have written, and traces its layer backward."""
        line, layer = self.lines[number], self.layers[number]
        tops = [(top, blob) for (owner, top), blob in self.tops.items() if owner == number]
        if layer.name in self.graph.losses:
            shares.setdefault((number, 0), []).append(self.price(line, tops[0][1]))
        if not any((number, top) in shares for top, _ in tops):
            return
        self.tracer.layer, self.tracer.way = layer.name, "backward"
        for top, blob in tops:
            blob.grad = self.joined(blob, shares.get((number, top), []))
        views = []
        for place, ref in enumerate(line.refs):
            if ref == ABSENT:
                continue
            ref, view = self.resolve(ref), Blob(self.blob(ref).data)
            wanted = ref.line in self.learns and line.sends_down(place) and view.shape.dtype == "float"
            if wanted and not self.is_fixed(layer, place):
                view.grad = Tensor(f"{view.data.name}.grad by {layer.name}", view.shape)
                shares.setdefault((ref.line, ref.top), []).append(view.grad)
            views.append(view)
        for grad, _ in self.turns.get(layer.name, ()):
            self.tracer.fill(grad, 0.0)
        layer.backward(*views, *(blob for _, blob in tops))
        for grad, owner in self.turns.get(layer.name, ()):
            self.tracer.permute_add(grad, owner.grad, (1, 0))

    def price(self, line: Line, top: Blob) -> Tensor:
        """What the objective asks of a top: the loss weight, for each element."""
        if line.layer.kind == "loss":
            made = self.graph.scalar(f"loss_weight {line.name}", line.weight)
        else:
            made = Tensor(f"{line.name}.loss_weight", top.shape)
            self.tracer.layer, self.tracer.way = line.name, "backward"
            self.tracer.fill(made, line.weight)
        self.graph.prices.append(made)
        return made

    def joined(self, blob: Blob, parts: list[Tensor]) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        grad = Tensor(f"{blob.data.name}.grad", blob.shape)
        if parts:
            self.tracer.weighted_sum(tuple(parts), grad, (1.0,) * len(parts))
        else:
            self.tracer.fill(grad, 0.0)
        return grad

    @staticmethod
    def is_fixed(layer: Layer, place: int) -> bool:
        """True for a bottom that never gets a gradient, such as a label."""
        code = type(layer).setup.__code__
        names = code.co_varnames[1 : code.co_argcount]
        return place < len(names) and names[place] in layer.fixed
