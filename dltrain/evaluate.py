"""Scores over a whole split: sums over batches, partial ones included, then one division."""

from __future__ import annotations

from typing import Any

from dltrain.engine import Engine
from dltrain.feed import Feed
from dltrain.net import Net


def evaluate(engine: Engine, feed: Feed, split: str) -> dict[str, float]:
    """Each loss and metric of phase test over all samples of a split, and `loss`, the total."""
    return scores_of(engine.net, add_up(engine, feed, split))


def add_up(engine: Engine, feed: Feed, split: str) -> dict[str, Any]:
    """The sums behind each score of phase test, over all samples of a split."""
    sums: dict[str, Any] = {}
    if split != "train":  # whose state is the training's
        engine.forget(split)
    for batch in feed.batches(split):
        engine.forward("test", batch, split)
        for name, tally in engine.tallies().items():
            sums[name] = tally if name not in sums else sums[name] + tally
    return sums


def scores_of(net: Net, sums: dict[str, Any]) -> dict[str, float]:
    lines = {line.name: line for line in net.lines}
    scores: dict[str, float] = {}
    for name, tally in sums.items():
        made = lines[name].layer.score(tally)
        scores |= {f"{name}.{part}": value for part, value in made.items()} if isinstance(made, dict) else {name: made}
    if any(lines[name].weight for name in sums):
        scores["loss"] = net.total_loss(scores, "test")
    return scores


def details_of(net: Net, sums: dict[str, Any]) -> dict[str, Any]:
    """What metrics have to say besides their scores, such as a confusion matrix: rows of numbers by name."""
    made = {line.name: line.layer.details(sums[line.name]) for line in net.lines if line.name in sums}
    return {name: rows for name, rows in made.items() if rows is not None}


def rows_text(rows: list[list[float]]) -> str:
    """A matrix in columns: a row of a confusion matrix is a label, a column what it was taken for."""
    words = [[f"{number:g}" for number in row] for row in rows]
    width = max(len(word) for row in words for word in row)
    return "\n".join(" ".join(word.rjust(width) for word in row) for row in words)
