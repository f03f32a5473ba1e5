"""The whole life of a run in a second, before it starts: labels, a train step, a test step, a snapshot read back."""

from __future__ import annotations

from threading import Timer

import numpy as np

from dltrain import saving, snapshot
from dltrain.config import Config
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.errors import DataError, SnapshotError
from dltrain.progress import Progress
from dltrain.run import Run


def check_labels(config: Config) -> None:
    """Every integer label that a softmax loss or an accuracy reads lies among its classes; else the first bad sample is named."""
    feed, net = config.feed, config.net
    for line in net.lines:
        field = next((ref.field for ref in line.refs[1:2] if ref.field is not None), None)
        if line.layer.kind == "layer" or field is None or feed.fields[field].dtype != "index":
            continue
        shapes = net.shapes["train"] | net.shapes["test"]
        scores = line.refs[0]
        name = scores.field or net.lines[scores.line].tops[scores.top]
        classes = shapes[name][getattr(line.layer, "at", 1) if hasattr(line.layer, "at") else 1]
        for split, indices in feed.splits.items():
            labels = feed.read(indices, field).reshape(len(indices), -1)
            bad = (labels < 0) | (labels >= classes)
            if getattr(line.layer, "ignore_label", None) is not None:
                bad &= labels != line.layer.ignore_label  # type: ignore[attr-defined]
            if bad.any():
                row = int(np.flatnonzero(bad.any(axis=1))[0])
                value, sample = int(labels[row][bad[row]][0]), feed.source.identify(int(indices[row]))
                raise DataError(
                    f"{line.what}: '{field}' is {value} in sample {sample} of {split}, but '{name}' has {classes} classes; "
                    f"give the layer before it {int(labels.max()) + 1} outputs, or mend the label"
                )


def fly(config: Config, engine: Engine, run: Run, console: Console) -> None:
    """A train step and a test step on the real data, then everything is put back; the first snapshot is compared."""
    slow = Timer(0.7, console.note, ["compiling the kernels (once on this machine; cached afterwards) …"])
    slow.daemon = True
    slow.start()
    try:
        first = run.at(0)
        saving.save(first, engine, config, Progress())
        before = saving.state_hash(engine, Progress())
        assert config.solver is not None
        feed = config.feed
        batches = [feed.train_batch_now(number) for number in range(config.solver.iter_size)]
        engine.step(batches, config.solver.rates(0, config.horizon))
        if config.watched in feed.splits:
            engine.forward("test", next(feed.batches(config.watched)), config.watched)
        engine.reset()
        saving.load(first, snapshot.read(first), engine)
        if saving.state_hash(engine, Progress()) != before:
            raise SnapshotError(f"{first}: what was read back is not what was written; the disk or the memory is at fault")
    finally:
        slow.cancel()
