"""Scores over a whole split: sums over batches, partial ones included, then one division."""

from __future__ import annotations

from typing import Any

from dltrain.engine import Engine
from dltrain.feed import Feed


def evaluate(engine: Engine, feed: Feed, split: str) -> dict[str, float]:
    """Each loss and metric of phase test over all samples of a split, and `loss`, the total."""
    sums: dict[str, Any] = {}
    for batch in feed.batches(split):
        engine.forward("test", batch, split)
        for name, tally in engine.tallies().items():
            sums[name] = tally if name not in sums else sums[name] + tally
    lines = {line.name: line for line in engine.net.lines}
    scores: dict[str, float] = {}
    for name, tally in sums.items():
        made = lines[name].layer.score(tally)
        scores |= {f"{name}.{part}": value for part, value in made.items()} if isinstance(made, dict) else {name: made}
    if any(lines[name].weight for name in sums):
        scores["loss"] = engine.net.total_loss(scores, "test")
    return scores
