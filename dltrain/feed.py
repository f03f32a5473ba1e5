"""Batches: which samples, in which order, after which transforms.  All of it a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from dltrain.errors import DataError, Refusal
from dltrain.ops import philox
from dltrain.ops.backend import DTYPES
from dltrain.sections import DataKeys
from dltrain.source import Arrays, Draw, Source, Step
from dltrain.tensor import Shape

AHEAD = 3  # batches made in the background


class Feed:
    """The splits of a source, cut into batches.

    train_batch(k)   the k-th batch of one endless stream: the epochs' permutations joined, so a batch may straddle an epoch's end
    batches(split)   all samples of a split in order, each once, the last batch as small as it comes
    """

    def __init__(self, keys: DataKeys, seed: int) -> None:
        self.keys, self.seed = keys, seed
        self.source: Source = keys.source
        self.splits: dict[str, Any] = {}
        self.fields: dict[str, Shape] = {}
        self.background: ThreadPoolExecutor | None = None
        self.waiting: dict[int, Future[Arrays]] = {}
        self.orders: dict[int, Any] = {}

    def open(self, val_given_back: bool = False, saved: dict[str, Arrays] | None = None) -> None:
        """Opens the source, makes the splits, sets up the transforms (with what a run has saved of them)."""
        self.source.open()
        self.splits = {name: np.asarray(indices) for name, indices in self.source.splits.items()}
        if val_given_back and "val" in self.splits:
            self.splits["train"] = np.sort(np.concatenate([self.splits["train"], self.splits.pop("val")]))
        for name in ("val", "test"):
            said = getattr(self.keys, name)
            if said is not None and said.hold_out is not None:
                self.hold_out(name, said.hold_out)
        for name, indices in self.splits.items():
            if len(indices) == 0:
                raise DataError(f"data: the split '{name}' of {self.source.type} has no samples")
        self.shape_up(saved or {})

    def hold_out(self, name: str, amount: float) -> None:
        """Takes samples out of train by the seed: so many, or (below 1) that part; evenly over the classes of a label."""
        train = self.splits["train"]
        if amount >= 1 and amount != int(amount):
            raise Refusal(f"{name}.hold_out", f"{name}: hold_out is {amount:g}; it counts samples, or is a part below 1")
        count = round(amount * len(train)) if amount < 1 else int(amount)
        if not 0 < count < len(train):
            raise DataError(f"data: {name}: hold_out {amount:g} of {len(train)} training samples leaves one side empty")
        order = philox.permutation(philox.key(self.seed, f"hold_out {name}"), 0, len(train))
        label = next((field for field, shape in self.source.fields.items() if shape.dtype == "index" and shape == ()), None)
        if label is not None:
            order = order[np.argsort(spread_classes(self.read(train, label)[order]), kind="stable")]
        self.splits[name] = np.sort(train[order[:count]])
        self.splits["train"] = np.sort(train[order[count:]])

    def read(self, indices: Any, field: str) -> Any:
        """One field of some samples, as the source has it."""
        shape = self.source.fields[field]
        out = {field: np.empty((len(indices), *shape), DTYPES.get(shape.dtype, np.float32))}
        self.source.read(indices, out)
        return out[field]

    # --- transforms ---
    def top_of(self, step: Step) -> str:
        return step.top or next(iter(self.source.fields))

    def shape_up(self, saved: dict[str, Arrays]) -> None:
        """The shapes after the transforms; what steps compute over the training split is computed here."""
        shapes = {phase: dict(self.source.fields) for phase in ("train", "test")}
        for number, step in enumerate(self.keys.transform):
            top = self.top_of(step)
            if top not in self.source.fields:
                raise Refusal(f"{number}.top", f"there is no field '{top}'; the source has {', '.join(self.source.fields)}")
            if str(number) in saved:
                step.restore(saved[str(number)])
            for phase in ("train", "test"):
                if step.phase in (None, phase):
                    try:
                        shapes[phase][top] = step.setup(shapes[phase][top], partial(self.training, top, number))
                    except Refusal as refusal:
                        raise Refusal(f"{number}.{refusal.key}", str(refusal)) from None
        for field, shape in shapes["train"].items():
            if shape != shapes["test"][field]:
                raise Refusal("", f"'{field}' is {shape} in train and {shapes['test'][field]} in test; both must be alike")
        self.fields = shapes["train"]

    def training(self, top: str, number: int) -> Any:
        """A field of the whole training split as it arrives at a step (random steps in their plain form)."""
        x = self.read(self.splits["train"], top)
        for step in self.keys.transform[:number]:
            if self.top_of(step) == top and step.phase in (None, "train"):
                x = step.apply(x, None)
        return x

    def state(self) -> dict[str, Arrays]:
        """What the steps have computed, to be saved with the run."""
        return {str(number): state for number, step in enumerate(self.keys.transform) if (state := step.state())}

    # --- batches ---
    def batch_size(self, split: str) -> int:
        said = getattr(self.keys, split, None)
        return said.batch_size if said is not None and said.batch_size is not None else self.keys.batch_size

    @property
    def per_epoch(self) -> Fraction:
        """Batches in an epoch of train; rarely a whole number."""
        return Fraction(len(self.splits["train"]), self.batch_size("train"))

    def make(self, indices: Any, epochs: Any = None) -> Arrays:
        """A batch of given samples; with `epochs` it is a training batch, and random steps draw."""
        out = {
            name: np.empty((len(indices), *shape), DTYPES.get(shape.dtype, np.float32))
            for name, shape in self.source.fields.items()
        }
        self.source.read(indices, out)
        phase = "test" if epochs is None else "train"
        for number, step in enumerate(self.keys.transform):
            if step.phase in (None, phase):
                top = self.top_of(step)
                draw = None if epochs is None else Draw(self.seed, f"transform {number} {step.type}", epochs, indices)
                out[top] = step.apply(out[top], draw)
        return out

    def order(self, epoch: int) -> Any:
        """The permutation of one epoch of train.  The dictionary is replaced, never changed: another thread may be reading it."""
        found = self.orders.get(epoch)
        if found is None:
            found = philox.permutation(philox.key(self.seed, "order"), epoch, len(self.splits["train"]))
            self.orders = {old: order for old, order in self.orders.items() if abs(old - epoch) <= 2} | {epoch: found}
        return found

    def train_batch(self, number: int) -> Arrays:
        """The batch `number` of the endless stream; the next ones are begun in the background."""
        if self.background is None:
            self.background = ThreadPoolExecutor(1, "batches")
        for ahead in range(number, number + AHEAD):
            if ahead not in self.waiting:
                self.waiting[ahead] = self.background.submit(self.train_batch_now, ahead)
        self.waiting = {key: future for key, future in self.waiting.items() if key >= number}
        return self.waiting.pop(number).result()

    def train_batch_now(self, number: int) -> Arrays:
        size, train = self.batch_size("train"), self.splits["train"]
        places = np.arange(number * size, (number + 1) * size)
        epochs = places // len(train)
        rows = np.concatenate([self.order(int(epoch))[places[epochs == epoch] % len(train)] for epoch in np.unique(epochs)])
        return self.make(train[rows], epochs)

    def batches(self, split: str) -> Iterator[Arrays]:
        """The whole split, in order, exactly once; the next batch is made while this one is looked at."""
        indices, size = self.splits[split], self.batch_size(split)
        cuts = [indices[start : start + size] for start in range(0, len(indices), size)]
        with ThreadPoolExecutor(1, "batches") as background:
            coming = background.submit(self.make, cuts[0])
            for after in [*cuts[1:], None]:
                batch = coming.result()
                if after is not None:
                    coming = background.submit(self.make, after)
                yield batch

    def close(self) -> None:
        if self.background is not None:
            self.background.shutdown(cancel_futures=True)
            self.background, self.waiting = None, {}


def spread_classes(labels: Any) -> Any:
    """A rank for each sample so that any first part of the ranking holds each class in proportion."""
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        ranks[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return ranks
