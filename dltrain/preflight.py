"""The whole life of a run in a second, before it starts: labels, a train step, a test step, a snapshot read back."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Timer

import numpy as np

from dltrain import saving, snapshot
from dltrain.config import Config
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.errors import DataError, SnapshotError
from dltrain.progress import Progress
from dltrain.run import Run
from dltrain.wiring import Line, Roles


def check_labels(config: Config) -> None:
    """Every integer label that a loss or a metric reads is one it knows; else the first bad sample is named."""
    feed, net = config.feed, config.net
    shapes = net.shapes["train"] | net.shapes["test"]
    for line in net.lines:
        roles = Roles.of(line.layer).names
        field = line.refs[roles.index("label")].field if "label" in roles else None
        if line.layer.kind == "layer" or field is None or feed.fields[field].dtype != "index":
            continue
        scores = line.refs[0]
        name = scores.field or net.lines[scores.line].tops[scores.top]
        legal = line.layer.labels(shapes[name], shapes[field])
        known = [*legal, *([] if (ignored := getattr(line.layer, "ignore_label", None)) is None else [ignored])]
        for split, indices in feed.splits.items():
            for read, part in feed.reader.parts(indices, (field,)):
                labels = part[field].reshape(len(read), -1) if not isinstance(part[field], list) else None
                bad = (
                    ~np.isin(labels, known)
                    if labels is not None
                    else np.array([[not np.isin(x, known).all()] for x in part[field]])
                )
                if bad.any():
                    row = int(np.flatnonzero(bad.any(axis=1))[0])
                    values = np.ravel(part[field][row])
                    value, sample = int(values[~np.isin(values, known)][0]), feed.source.identify(int(read[row]))
                    most = int(max(np.max(x) for x in part[field]))
                    raise DataError(
                        f"{line.what}: '{field}' is {value} in sample {sample} of {split}, {way_out(line, name, legal, most)}"
                    )


def way_out(line: Line, name: str, legal: Sequence[int], most: int) -> str:
    if not isinstance(legal, range):
        return f"but must be {' or '.join(map(str, legal))}; mend the label"
    if hasattr(line.layer, "num_output"):
        return f"but num_output is {len(legal)}; make it {most + 1}, or mend the label"
    return f"but '{name}' has {len(legal)} classes; give the layer before it {most + 1} outputs, or mend the label"


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
