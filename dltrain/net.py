"""The net: layers wired by name.  It checks itself once, and hands out graphs: train, test, deploy, up to a feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dltrain.errors import ConfigError, Refusal
from dltrain.graph import Builder, Demand, Graph
from dltrain.layer import Layer
from dltrain.ops.signature import Tracer
from dltrain.store import Store
from dltrain.tensor import Shape
from dltrain.wiring import ABSENT, Line, Ref, Report, wire


def refuse(path: Any, message: str) -> None:
    raise ConfigError(message)


class Net:
    """Checked lines over the fields of a source.

    >>> Net(lines, {"data": Shape((1, 28, 28)), "label": Shape((), "index")}).graph("train", (64,))
    """

    def __init__(
        self,
        lines: list[Line],
        fields: dict[str, Shape],
        batch: int = 2,
        seed: int = 0,
        report: Report = refuse,
        wrong: Iterable[str] = (),  # names of lines that could not be read: told to `report` already
    ) -> None:
        self.lines, self.fields, self.seed = lines, fields, seed
        self.store = Store()
        self.sequences: tuple[str, ...] = ()  # fields that `data.trim` cuts to the longest of a batch
        self.graphs: dict[Demand, Graph] = {}
        self.shapes: dict[str, dict[str, Shape]] = {}  # phase -> blob -> shape, of the whole net
        self.order = wire(lines, list(fields), report, list(wrong))
        self.leave_out_of_deploy()
        if self.order:
            for phase in ("train", "test", "deploy"):
                self.declare(phase, batch, report)
        self.check_roles(report)
        self.check_loss(report)
        self.store.closed = True

    def labels(self) -> set[str]:
        """The fields that a deployed net does not have: what losses and metrics read, but for the first field."""
        first = next(iter(self.fields), None)
        judged = [line for line in self.lines if line.layer.kind != "layer"]
        return {ref.field for line in judged for ref in line.refs if ref.field not in (None, first)}

    def leave_out_of_deploy(self) -> None:
        """Deploy is test without losses, metrics, and what needs a label, directly or through another line."""
        labels, out = self.labels(), set()
        for number in self.order:
            line = self.lines[number]
            if line.layer.kind != "layer" or any(ref.field in labels or ref.line in out for ref in line.refs):
                out.add(number)
                line.phases -= {"deploy"}
            elif line.phases == {"test"}:
                line.phases |= {"deploy"}

    def declare(self, phase: str, batch: int, report: Report) -> None:
        """Sets up every layer of the phase once: shapes are checked, parameters and states declared."""
        builder = Builder(self.lines, self.order, self.fields, self.store, Demand(phase, (batch,)), self.seed)
        builder.tracer = Tracer([])
        builder.graph.scalar("step")
        known: dict[Ref, Shape] = {Ref(field=name): Shape((batch, *shape), shape.dtype) for name, shape in self.fields.items()}
        for number in self.order:
            line = self.lines[number]
            if phase not in line.phases:
                continue
            refs = [builder.resolve(ref) for ref in line.refs]
            shapes = [Shape((1,)) if ref.number is not None else known.get(ref) for ref in refs]
            if any(shape is None and ref != ABSENT for shape, ref in zip(shapes, refs, strict=True)):
                continue  # something above is wrong already
            layer = builder.place(number)
            try:
                tops = layer.setup(*shapes)
            except Refusal as refusal:
                self.explain(builder, line, refs, known, refusal, report)
                continue
            for top, shape in enumerate(tops if isinstance(tops, list) else [tops]):
                known[Ref(line=number, top=top)] = shape
            self.check_handles(line, layer)
        names = {Ref(line=n, top=t): name for n, line in enumerate(self.lines) for t, name in enumerate(line.tops)}
        self.shapes[phase] = {ref.field or names[ref]: shape for ref, shape in known.items()}

    def explain(
        self, builder: Builder, line: Line, refs: list[Ref], known: dict[Ref, Shape], refusal: Refusal, report: Report
    ) -> None:
        """A refusal at its key, with the chain of shapes that led there."""
        chain, ref = [], refs[0] if refs else Ref(number=0.0)
        while ref.field is None and ref.line >= 0:
            chain.append(f"{self.lines[ref.line].name} {known[ref]}")
            above = self.lines[ref.line].refs
            ref = builder.resolve(above[0]) if above else Ref(number=0.0)
        if ref.field is not None:
            chain.append(f"{ref.field} {known[ref]}")
        key = f"'{refusal.key}' " if refusal.key and refusal.key != "bottom" else ""
        trace = f"; {' → '.join(reversed(chain))} → {line.name}" if chain else ""
        report((*line.path, refusal.key) if refusal.key else line.path, f"{line.what}: {key}{refusal}{trace}")

    @staticmethod
    def check_handles(line: Line, layer: Layer) -> None:
        """Handles are kept in attributes that are no fields: a field is what the user wrote."""
        for name in type(layer).__dataclass_fields__:  # type: ignore[attr-defined]
            if getattr(layer, name) is not getattr(line.layer, name):
                raise TypeError(f"{line.what}: setup changed the field '{name}'; keep handles in other attributes")

    def check_roles(self, report: Report) -> None:
        """`param:` may only name parameters that the layer has."""
        for line in self.lines:
            roles = [role for layer, role in (*self.store.segments, *self.store.shared, *self.store.turned) if layer == line.name]
            for role in line.params:
                if roles and role not in roles:
                    report((*line.path, "param", role), f"{line.what}: has no parameter '{role}'; it has {', '.join(roles)}")
                elif not roles and self.order and any(line.name in shapes for shapes in self.shapes.values()):
                    report((*line.path, "param"), f"{line.what}: has no parameters; remove param")

    def check_loss(self, report: Report) -> None:
        """`loss` is the total: of several, none may have that name."""
        paying = [line for line in self.lines if line.weight]
        for line in paying if len(paying) > 1 else ():
            if line.name == "loss":
                report((*line.path, "name"), f"{line.what}: 'loss' is the total of the {len(paying)} losses; choose another name")

    def graph(
        self, phase: str, sizes: tuple[int, ...], split: str = "", upto: tuple[str, ...] = (), kept: tuple[int, ...] = ()
    ) -> Graph:
        """The graph for a phase and a batch size, traced when first asked for."""
        demand = Demand(phase, sizes, split or phase, upto, kept)
        if demand not in self.graphs:
            cut = {
                name: Shape((*sizes[1:], *self.fields[name][1:]), self.fields[name].dtype) for name in self.sequences if sizes[1:]
            }
            self.graphs[demand] = Builder(self.lines, self.order, self.fields | cut, self.store, demand, self.seed).build()
        return self.graphs[demand]

    def sizes(self, batch: Mapping[str, Any]) -> tuple[int, ...]:
        """What a graph for a batch is asked for by: its samples, and the steps of its sequences where they are cut short."""
        first = len(next(iter(batch.values())))
        steps = {
            batch[name].shape[1] for name in self.sequences if name in batch and batch[name].shape[1] != self.fields[name][0]
        }
        return (first, *steps)

    def scores(self, phase: str = "test") -> dict[str, bool]:
        """The losses and metrics of a phase, and whether more is better; `loss` is the total."""
        found: dict[str, bool] = {}
        for line in (line for line in self.lines if line.scored and phase in line.phases):
            names = [f"{line.name}.{part}" for part in line.layer.parts] or [line.name]
            found |= dict.fromkeys(names, line.layer.higher_is_better)
        if any(line.weight and phase in line.phases for line in self.lines):
            found["loss"] = False
        return found

    def total_loss(self, scores: dict[str, float], phase: str) -> float:
        """The objective: the sum of weight times loss."""
        return sum(line.weight * scores[line.name] for line in self.lines if line.weight and phase in line.phases)
