"""dltrain show: the net with all blocks laid out, as a table: shapes, parameters, arithmetic, memory, receptive fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dltrain.console import Console
from dltrain.devices import backend
from dltrain.engine import Engine
from dltrain.flat import flat_text
from dltrain.receptive import Seen, receptive
from dltrain.sketch import Node, View, sketch
from dltrain.store import Segment
from dltrain.table import size
from dltrain.tensor import Shape

FLOAT = 4  # bytes
HEADS = ("layer", "type", "top", "parameters", "MFLOP", "memory", "receptive field", "stride", "centre")
LEFT = 3  # so many columns are words
NOTE = """MFLOP: forward, a sample; a multiply-add is two.  memory: of the top, for the batch.
receptive field, stride, centre: in elements of the input, the first of which lies at 0; - is all of it."""


def show(path: str, settings: tuple[str, ...], graph: str | None, as_yaml: bool, console: Console) -> None:
    """dltrain show CONFIG|RUN"""
    config = sketch(path, settings)
    if as_yaml:
        print(flat_text(config), end="")  # noqa: T201  the result itself
        return
    view = View(config, graph)
    rows, sums = describe(view), totals(view)
    made = {"name": config.name, "graph": graph, "batch_size": view.batch, **sums, "layers": [row.values() for row in rows]}
    console.result(made, f"{table(rows, view)}\n{words(sums, view)}\n{NOTE}")


@dataclass
class Row:
    """What is told of a layer, or of a field of the source (type "")."""

    name: str
    type: str
    phase: str  # "" for all, else the one it is for
    top: Shape | None
    parameters: int = 0
    frozen: int = 0
    statistics: int = 0
    flops: int = 0  # forward, for the batch
    batch: int = 1
    seen: Seen = None

    @property
    def memory(self) -> int:
        return self.top.count * FLOAT if self.top is not None else 0

    def values(self) -> dict[str, Any]:
        """For machines."""
        seen = None
        if self.seen:
            seen = {key: [float(getattr(field, key)) for field in self.seen] for key in ("size", "jump", "start")}
            seen = {"size": seen["size"], "stride": seen["jump"], "centre": seen["start"]}
        return {
            "name": self.name, "type": self.type, "phase": self.phase or None,
            "top": None if self.top is None else list(self.top),
            "parameters": self.parameters, "frozen": self.frozen, "statistics": self.statistics,
            "flops": self.flops / self.batch, "memory": self.memory, "receptive_field": seen,
        }  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        """For people."""
        top = "" if self.top is None else str(self.top)
        if self.top and self.top[0] == self.batch:
            top = " x ".join(["N", *map(str, self.top[1:])])
        kind = f"{self.type} ({self.phase})" if self.phase else self.type
        count = f"{self.parameters:,}" + (" frozen" if self.frozen else "") if self.parameters else ""
        memory = size(self.memory) if self.top is not None else ""
        flops = f"{self.flops / self.batch / 1e6:,.3f}" if self.flops else ""
        places = ("-", "-", "-") if self.seen is None else tuple(axes(self.seen, key) for key in ("size", "jump", "start"))
        return (self.name, kind, top, count, flops, memory, *places)


def axes(seen: Seen, key: str) -> str:
    """A number for each spatial axis, once where all are alike (but for sizes)."""
    each = [f"{float(getattr(field, key)):g}" for field in seen or ()]
    return " x ".join(each if key == "size" or len(set(each)) > 1 else each[:1])


# --- what is counted ---
def describe(view: View) -> list[Row]:
    """The fields that are read, then the lines in order."""
    seen, flops = receptive(view), forward_flops(view)
    parts: dict[str, list[Segment]] = {}
    for part in view.config.net.store.segments.values():
        parts.setdefault(part.layer, []).append(part)
    statistics: Counter[str] = Counter()
    for name, state in view.config.net.store.states.items():
        if "@" not in name:  # those with a split are for one batch, and are not kept
            statistics[name.rpartition(".")[0]] += state.handle.shape.count
    rows = [Row(name, "", "", shape, batch=view.batch, seen=seen[name]) for name, shape in view.fields.items()]
    for name, node in view.nodes.items():
        own = parts.get(name, [])
        rows.append(
            Row(
                name, node.layer.type, "" if view.wanted else only(node), node.shape, count(own), count(frozen(own)),
                statistics[name], flops[name], view.batch, seen[name],
            )
        )  # fmt: skip
    return rows


def only(node: Node) -> str:
    """The one phase of a line that is not for both training and testing."""
    phases = [phase for phase in ("train", "test") if phase in node.line.phases]
    return "" if len(phases) == 2 else phases[0] if phases else "deploy"


def count(parts: Iterable[Segment]) -> int:
    return sum(part.shape.count for part in parts)


def frozen(parts: Iterable[Segment]) -> list[Segment]:
    return [part for part in parts if part.frozen]


def forward_flops(view: View) -> Counter[str]:
    """Layer -> the arithmetic of its way forward for the batch, before the plan changes anything."""
    found: Counter[str] = Counter()
    for phase, graph in view.graphs.items():
        for call in graph.calls:
            if call.way == "forward" and view.nodes[call.layer].phase == phase:
                found[call.layer] += call.op.flops(call.args)
    return found


def totals(view: View) -> dict[str, Any]:
    """Parameters (all, frozen), statistics, arithmetic a sample, depth, and the bytes that the graph takes for a batch."""
    config, flops = view.config, forward_flops(view)
    own = [part for part in config.net.store.segments.values() if part.layer in view.nodes]
    states = [
        state for name, state in config.net.store.states.items() if name.rpartition(".")[0] in view.nodes and "@" not in name
    ]
    graph, trains = view.graphs[view.phase], view.phase == "train" and config.solver is not None
    engine = Engine(config.net, backend("cpu", config.engine.threads), config.solver)
    try:
        plan = engine.plan_of(graph, update=trains)
    finally:
        engine.close()
    stored = config.net.store.size * FLOAT
    kept = config.solver.kept if trains and config.solver is not None else ()
    memory = {"parameters": stored, "gradients": stored if view.phase == "train" else 0, "slots": len(kept) * stored}
    memory["activations"] = plan.arena
    return {
        "parameters": count(own), "frozen": count(frozen(own)), "statistics": sum(state.handle.shape.count for state in states),
        "depth": depth(view), "flops_forward": sum(flops[name] for name in graph.layers) / view.batch,
        "flops_step": plan.flops / view.batch if trains else None, "memory": {**memory, "all": sum(memory.values())},
    }  # fmt: skip


def depth(view: View) -> int:
    """The most layers with a weight (a parameter of two axes or more) on one way through the net."""
    store = view.config.net.store
    heavy = {layer for (layer, _), part in {**store.segments, **store.shared}.items() if len(part.shape) > 1}
    deep: dict[str, int] = {}
    for name, node in view.nodes.items():
        deep[name] = max((deep.get(view.owner(blob), 0) for blob in node.reads), default=0) + (name in heavy)
    return max(deep.values(), default=0)


# --- what is seen ---
def table(rows: list[Row], view: View) -> str:
    cells = [HEADS, *(row.cells() for row in rows)]
    if not any(row.seen for row in rows):  # no pictures
        cells = [row[: HEADS.index("receptive field")] for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            f"{word:<{w}}" if column < LEFT else f"{word:>{w}}" for column, (word, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    )


def words(sums: dict[str, Any], view: View) -> str:
    """The totals as sentences."""
    apart = [f"{sums[key]:,} {text}" for key, text in (("frozen", "of them frozen"), ("statistics", "statistics")) if sums[key]]
    first = ", ".join([f"{sums['parameters']:,} parameters", *apart, f"{sums['depth']} layers with weights on the longest way"])
    step = f", {sums['flops_step'] / 1e6:,.2f} MFLOP a training step" if sums["flops_step"] is not None else ""
    memory = sums["memory"]
    parts = ", ".join(f"{key} {size(memory[key])}" for key in memory if memory[key] and key != "all")
    return (
        f"{first}\n{sums['flops_forward'] / 1e6:,.2f} MFLOP forward{step}, a sample\n"
        f"{size(memory['all'])} for N = {view.batch}: {parts}"
    )
