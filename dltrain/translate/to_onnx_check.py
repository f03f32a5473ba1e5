"""A model of ONNX held against the net that it was made from: onnxruntime's numbers and ours, for the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from dltrain.console import Console
from dltrain.errors import CheckFailed, DataError
from dltrain.source import Arrays
from dltrain.timing import made_up
from dltrain.translate.to_onnx_sheet import Sheet
from dltrain.translate.trained import Trained

TOLERANCE = 1e-4  # of the largest difference, over the largest number where that is above 1
SAMPLES = 16


@dataclass
class Compared:
    """How far apart the two are, on what."""

    difference: float
    samples: str
    version: str


def compare(model: Any, made: Trained, sheet: Sheet, outputs: tuple[str, ...], console: Console) -> Compared | None:
    """None where onnxruntime is not there; CheckFailed where the difference is beyond the tolerance."""
    try:
        onnxruntime = import_module("onnxruntime")
    except ImportError:
        console.note("not compared with onnxruntime, which is not there: pip install onnxruntime")
        return None
    batch, samples = some(made, sheet)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    free = any("N" in sizes for _, sizes in sheet.inputs.values())
    counts = {len(next(iter(batch.values()))), 1} if free and batch else {len(next(iter(batch.values()), ()))}
    worst, finite = 0.0, False
    for count in sorted(counts, reverse=True):
        part = {name: rows[:count] for name, rows in batch.items()}
        ours = own(made, part, outputs)
        feeds = {name: part[name].astype(np.int64) if part[name].dtype.kind in "iu" else part[name].astype(np.float32)
                 for name in sheet.graph.inputs}  # fmt: skip
        feeds |= fed(made, sheet, feeds)
        theirs = session.run(list(outputs), feeds)
        worst = max(worst, *(apart(name, a, b) for name, a, b in zip(outputs, ours, theirs)))
        finite = finite or any(np.isfinite(a).any() for a in ours)
    if not worst <= TOLERANCE:
        raise CheckFailed(f"{model.graph.name}: onnxruntime {onnxruntime.__version__} and dltrain differ by {worst:.2g} on "
                          f"{samples}, which is more than {TOLERANCE:g}; nothing was written")  # fmt: skip
    if not finite:
        console.note(f"not compared with onnxruntime: on {samples} the net gives no finite number")
        return None
    return Compared(worst, samples, onnxruntime.__version__)


def some(made: Trained, sheet: Sheet) -> tuple[Arrays, str]:
    """A batch of real samples that the training has not seen, else of made-up ones; and what they are."""
    config, feed = made.config, made.config.feed
    wanted = sheet.graph.demand.sizes[0] if not any("N" in sizes for _, sizes in sheet.inputs.values()) else None
    split = next((name for name in ("test", "val", "train") if name in feed.splits and len(feed.splits[name])), None)
    if made.at_hand and split is not None:
        try:
            rows = feed.rows(split)[: wanted or SAMPLES]
            batch = feed.make(rows, None, split)
            if wanted is None or len(rows) == wanted:
                return batch, f"{len(rows)} samples of {split}"
        except DataError:  # a sample that is damaged is for training to tell
            pass
    batch = made_up(config)
    count = wanted or min(SAMPLES, len(next(iter(batch.values()))))
    batch = {name: np.resize(rows, (count, *rows.shape[1:])) for name, rows in batch.items()}
    return batch, f"{count} made-up samples"


def own(made: Trained, batch: Arrays, outputs: tuple[str, ...]) -> list[Any]:
    engine = made.engine
    engine.forget("deploy")
    engine.forward("deploy", batch, upto=outputs)
    return [engine.blob(name) for name in outputs]


def fed(made: Trained, sheet: Sheet, feeds: Arrays) -> Arrays:
    """Inputs that no field fills: states begin at 0, and an Input layer gets what our own has."""
    count, found = len(next(iter(feeds.values()), (0,))), {}
    for name, (_, sizes) in sheet.inputs.items():
        if name in sheet.carried:
            found[name] = np.zeros([count if n == "N" else n for n in sizes], np.float32)
        elif name not in feeds:
            state = made.engine.net.store.states[f"{name}.value"]
            found[name] = np.ascontiguousarray(made.engine.memory.logical(state.handle))
    return found


def apart(name: str, a: Any, b: Any) -> float:
    """The largest difference, over the largest number where that is above 1; NaN is like NaN."""
    if a.shape != b.shape:
        raise CheckFailed(f"{name} is {b.shape} in onnxruntime and {a.shape} in dltrain; nothing was written")
    if not a.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        alike = (np.isnan(a) & np.isnan(b)) | (a == b)
        difference = np.where(alike, 0.0, np.abs(a.astype(np.float64) - b))
    return float(np.max(difference) / max(1.0, float(np.max(np.where(np.isfinite(a), np.abs(a), 0)))))
