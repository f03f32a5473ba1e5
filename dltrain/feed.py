"""Batches: which samples, in which order, after which transforms.  All of it a pure function of (seed, epoch, index)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dltrain.chain import Chain, Link, Part, through
from dltrain.errors import Refusal
from dltrain.joined import Joined
from dltrain.order import Order, checked
from dltrain.processes import Job, Remote
from dltrain.reader import Reader
from dltrain.sections import DataKeys
from dltrain.source import Arrays, Shape, Source, Step
from dltrain.splits import divide
from dltrain.workers import Workers

THREADS = 4  # at most, where nothing is said


class Feed:
    """The splits of a source, cut into batches.

    train_batch(k)   the k-th batch of one endless stream: the passes over train joined, so a batch may straddle an epoch's end
    batches(split)   all samples of a split in order, each once, the last batch as small as it comes
    """

    def __init__(self, keys: DataKeys, seed: int, share: tuple[int, int] = (0, 1)) -> None:
        """`share` is (rank, of): this process makes that part of every batch of train."""
        self.keys, self.seed, self.share = keys, seed, share
        self.plain = deepcopy(keys)  # as it came, for other processes
        self.note: Callable[[str], None] = lambda words: None
        others = {name: said.source for name, said in keys.parts() if said.source is not None}
        self.source: Source = Joined(keys.source, others) if others else keys.source
        self.reader = Reader(self.source, keys.on_error == "skip", keys.cache)
        self.splits: dict[str, Any] = {}
        self.fields: dict[str, Shape] = {}
        self.saved: dict[str, Arrays] = {}
        self.workers: Workers[Arrays] | None = None
        self.alone = 0.0  # seconds that the loop has made batches itself
        self.remotes: list[Remote] = []

    def open(self, val_given_back: bool = False, saved: dict[str, Arrays] | None = None) -> None:
        """Opens the source, makes the splits, sets up the transforms (with what a run has saved of them)."""
        self.source.open()
        self.given_back, self.saved = val_given_back, dict(saved or {})
        self.splits = divide(self.reader, self.seed, self.keys.taken(), val_given_back)
        self.shape_up()
        self.put_in_order()

    def sketch(self, fields: dict[str, Shape], saved: dict[str, Arrays] | None = None) -> None:
        """Shapes without samples, for a net that is to be looked at: the source has these fields, and is never opened."""
        self.source.fields, self.saved = dict(fields), dict(saved or {})
        self.training = self.ones  # type: ignore[method-assign]
        self.splits = {name: np.arange(1) for name in ("train", "val", "test")}
        self.shape_up()
        self.order = Order(self.seed, self.batch_size("train"), self.batch_size("train"))

    def ones(self, links: list[Link], top: str) -> Iterator[Any]:
        """What stands for the training split in a sketch."""
        made = [link.made for link in links if link.top == top]
        yield np.ones((1, *(made[-1] if made else self.source.fields[top])), np.float32)

    def read(self, indices: Any, field: str) -> Any:
        """One field of some samples, as the source has it."""
        return self.reader.column(np.asarray(indices), field)

    # --- transforms ---
    def shape_up(self) -> None:
        """The chain of steps of each split; what steps compute over the training split is computed here."""

        def linked(steps: list[Step], phase: Part, prefix: str = "") -> Chain:
            return Chain(steps, phase, self.source.fields, self.saved, self.training, prefix, self.source.identify)

        own = {name: said.transform for name, said in self.keys.parts() if said.transform is not None}
        self.source.least = enough([self.keys.transform, *own.values()], next(iter(self.source.fields)))  # before any is read
        self.chains = {"train": linked(own.get("train", self.keys.transform), "train")}
        shared = linked(self.keys.transform, "test")
        for name in self.splits:
            if name != "train":
                self.chains[name] = linked(own[name], "test", f"{name}.") if name in own else shared
        self.fields = self.chains["train"].fields
        self.chains["train"].settle()
        for name, chain in {"test": shared, **self.chains}.items():
            for field, shape in self.fields.items():
                if shape != chain.fields[field]:
                    raise Refusal("", f"'{field}' is {shape} in train and {chain.fields[field]} in {name}; both must be alike")
        self.plain_chain = shared

    def training(self, links: list[Link], top: str) -> Iterator[Any]:
        """A field of the training split as it arrives after some links (random steps in their plain form), in parts."""
        for _, batch in self.reader.parts(self.splits["train"], (top,)):
            yield through(links, top, batch[top])

    def state(self) -> dict[str, Arrays]:
        """What the steps have computed, to be saved with the run."""
        return self.saved

    def leave_raw(self) -> None:
        """From now on bytes are left for a device to make numbers of, where this process makes the batches."""
        if not (self.keys.workers and self.keys.workers.processes):
            chains = [*self.chains.values(), self.plain_chain]
            self.reader.small = {top for top in self.fields if all(chain.keeps(top) for chain in chains)}
            for chain in chains:
                chain.leave_raw(self.reader.small)

    # --- batches ---
    def batch_size(self, split: str) -> int:
        said = dict(self.keys.parts()).get(split)
        return said.batch_size if said is not None and said.batch_size is not None else self.keys.batch_size

    @property
    def per_epoch(self) -> Fraction:
        """Batches in an epoch of train; rarely a whole number."""
        return Fraction(self.keys.epoch_size or self.order.length, self.batch_size("train"))

    def put_in_order(self) -> None:
        train, size, sampling = self.splits["train"], self.batch_size("train"), self.keys.sampling
        values = None
        if sampling is not None:
            integers = (name for name, x in self.source.fields.items() if x.dtype == "index" and x == ())
            sampling.by = sampling.by or next(integers, None)
            x = self.source.fields.get(sampling.by or "")
            if x is None or x != ():
                raise Refusal("sampling", f"sampling: by must name a field of one number a sample, not '{sampling.by}'")
            values = checked(self.read(train, str(sampling.by)), sampling)
        order = self.source.arrange(train, size)
        fixed = None if order is None else np.searchsorted(train, order)
        self.order = Order(self.seed, len(train), size, self.keys.shuffle, sampling, values, fixed, self.keys.drop_last)
        if self.keys.trim and (not self.source.sequences or "length" not in self.source.fields):
            raise Refusal("trim", f"trim: {self.source.type} has no sequences with a field length; leave trim out")
        arranged = {name: self.source.arrange(rows, self.batch_size(name)) for name, rows in self.splits.items()}
        self.lined_up = {name: self.splits[name] if rows is None else rows for name, rows in arranged.items()}
        if size % self.share[1]:
            raise Refusal("batch_size", f"batch_size {size} cannot be shared by {self.share[1]} processes")

    def make(self, indices: Any, epochs: Any = None, split: str | None = None) -> Arrays:
        """A batch of given samples; with `epochs` it is a training batch, and random steps draw."""
        chain = self.chains["train"] if epochs is not None else self.chains.get(split or "", self.plain_chain)
        if split == "train" and epochs is None:
            chain = self.plain_chain
        instead = None if epochs is None else self.next_of_train
        batch, read = self.reader.read(indices, tuple(self.source.fields), instead)
        made = chain.run(batch, self.seed, read, epochs)
        return self.trimmed(made) if self.trims else made

    @property
    def trims(self) -> tuple[str, ...]:
        """The fields that are cut to the longest of each batch."""
        return self.source.sequences if self.keys.trim else ()

    def trimmed(self, batch: Arrays) -> Arrays:
        """The batch with its sequences cut to the longest of them: every length is a graph of its own."""
        steps = max(1, int(batch["length"].max()))
        return {name: rows[:, :steps] if name in self.trims else rows for name, rows in batch.items()}

    def next_of_train(self, index: int) -> int:
        """The sample after one that cannot be read."""
        train = self.splits["train"]
        return int(train[(np.searchsorted(train, index) + 1) % len(train)])

    def train_batch_now(self, number: int) -> Arrays:
        """The batch `number` of the stream, made here and now."""
        size, (rank, of) = self.batch_size("train"), self.share
        places = np.arange(number * size, (number + 1) * size)[rank * size // of : (rank + 1) * size // of]
        rows, epochs = self.order.rows(places)
        return self.make(self.splits["train"][rows], epochs)

    def rows(self, split: str) -> Any:
        """The samples of a split in the order in which `batches` gives them, but for those that cannot be read."""
        rows = self.lined_up[split]
        return rows[~np.isin(rows, list(self.reader.skipped))] if self.reader.skipped else rows

    def cut(self, split: str, number: int) -> Any:
        """The samples of one batch of a split."""
        size = self.batch_size(split)
        return self.lined_up[split][number * size : (number + 1) * size]

    def perform(self, job: Job) -> Arrays:
        split, number = job
        return self.train_batch_now(number) if split is None else self.make(self.cut(split, number), None, split)

    # --- ahead of time ---
    @property
    def threads(self) -> int:
        said = self.keys.workers
        if said is not None:
            return said.processes or said.threads
        return min(THREADS, os.cpu_count() or 1) if self.source.one_by_one else 1

    def makers(self, split: str | None) -> list[Callable[[int], Arrays]]:
        """Who makes batches: threads of this process, each with a process behind it where the config asks for that."""
        processes = self.keys.workers.processes if self.keys.workers else 0
        if processes and not self.remotes:
            begin = Begin(self.plain, self.seed, self.share, self.given_back, self.saved)
            self.remotes = [Remote(begin, self.reader.skipped) for _ in range(processes)]
        if self.remotes:
            return [lambda number, remote=remote: remote.make((split, number)) for remote in self.remotes]  # type: ignore[misc]
        return [lambda number: self.perform((split, number))] * self.threads

    def ahead(self, split: str | None) -> Workers[Arrays]:
        return Workers(self.makers(split), self.keys.timeout.amount, self.at, lambda words: self.note(words))

    def at(self) -> str:
        return "; ".join(f"process {n}: {r.at}" for n, r in enumerate(self.remotes)) or self.reader.at()

    def train_batch(self, number: int) -> Arrays:
        """The batch `number` of the endless stream; the next ones are begun in the background."""
        if self.threads == 0:
            began = time.perf_counter()
            made = self.train_batch_now(number)
            self.alone += time.perf_counter() - began
            return made
        if self.workers is None:
            self.workers = self.ahead(None)
        self.workers.forget(number)
        for coming in range(number, number + 1 + (self.keys.prefetch or max(2, self.threads))):
            self.workers.ask(coming)
        return self.workers.take(number)

    @property
    def waited(self) -> float:
        """Seconds that training has waited for data so far."""
        return self.alone + (self.workers.waited if self.workers is not None else 0.0)

    def batches(self, split: str) -> Iterator[Arrays]:
        """The whole split, in order, exactly once; the next batches are made while this one is looked at."""
        count = -(-len(self.lined_up[split]) // self.batch_size(split))
        if self.threads == 0:
            yield from (self.perform((split, number)) for number in range(count))
            return
        workers = self.ahead(split)
        try:
            for number in range(count):
                for coming in range(number, min(count, number + 1 + max(1, self.threads))):
                    workers.ask(coming)
                yield workers.take(number)
        finally:
            workers.close()

    def close(self) -> None:
        if self.workers is not None:
            self.workers.close()
            self.workers = None
        for remote in self.remotes:
            remote.close()
        self.remotes = []


@dataclass
class Begin:
    """What a worker process needs to open a feed of its own."""

    keys: DataKeys
    seed: int
    share: tuple[int, int]
    given_back: bool
    saved: dict[str, Arrays]

    def __call__(self) -> Begun:
        feed = Feed(self.keys, self.seed, self.share)
        feed.open(self.given_back, self.saved)
        return Begun(feed)


@dataclass
class Begun:
    """A feed in a worker process."""

    feed: Feed

    @property
    def skipped(self) -> dict[int, str]:
        return self.feed.reader.skipped

    def make(self, job: Job, told: Callable[[str], None]) -> Arrays:
        self.feed.reader.told = told
        return self.feed.perform(job)


def enough(chains: list[list[Step]], field: str) -> tuple[int, int] | None:
    """The height and width of pictures that serve every chain of steps, by its first step; None where one needs all there is."""
    firsts = [
        next((step for step in steps if step.phase in (None, phase) and step.top in (None, field)), None)
        for steps in chains for phase in ("train", "test")
    ]  # fmt: skip
    needs = [step.least() if step is not None else None for step in firsts]
    return None if None in needs else (max(n[0] for n in needs if n), max(n[1] for n in needs if n))
