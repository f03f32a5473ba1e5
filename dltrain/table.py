"""The net as a table: what every line makes, how many parameters it has, how much memory it takes."""

from __future__ import annotations

from dltrain.net import Net
from dltrain.plan import Plan


def table(net: Net, batch: int, plan: Plan) -> str:
    """Layer, type, top, parameters; then the totals of the plan."""
    rows = [("layer", "type", "top", "parameters", "memory")]
    shapes = {phase: net.shapes[phase] for phase in ("train", "test")}
    for field in net.fields:
        rows.append((field, "", str(shapes["train"][field]), "", size(shapes["train"][field].count * 4)))
    for line in (net.lines[number] for number in net.order):
        phase = "train" if "train" in line.phases else "test"
        shape = shapes.get(phase, {}).get(line.name)
        count = sum(part.shape.count for part in net.store.segments.values() if part.layer == line.name)
        memory = size(shape.count * 4) if shape is not None else ""
        rows.append((line.name, line.layer.type, str(shape or ""), f"{count:,}" if count else "", memory))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    left = "{:<{}}  {:<{}}  {:<{}}  {:>{}}  {:>{}}"
    lines = [left.format(*(word for pair in zip(row, widths, strict=True) for word in pair)).rstrip() for row in rows]
    flat = net.store.size * 4
    memory = f"{net.store.parameters:,} parameters ({size(flat)}), {size(plan.arena)} for a batch of {batch}"
    return "\n".join([*lines, f"{memory}, {plan.flops / 1e9:.2f} GFLOP a step"])


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.2f} GiB"
