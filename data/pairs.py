"""Pairs and triplets of the samples of another source, for nets that learn what is alike."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.errors import DataError, Refusal
from dltrain.fields import Count, Natural, chosen
from dltrain.reader import Reader
from dltrain.source import Arrays, Draw, Shape, Source, source


class Combined(Source):
    """What pairs and triplets share: the samples of a split put in classes, and others drawn for each.

    Each split of the source within has splits of its own here, so that no sample of test meets one of train.
    """

    tops: tuple[str, ...]  # the fields that are samples of the source within

    of: Any
    label: str | None
    each: int
    seed: int

    def open(self) -> None:
        try:
            self.of.open()
        except Refusal as refusal:
            raise Refusal(refusal.key.replace("source", "source.of", 1), str(refusal)) from None
        self.first = next(iter(self.of.fields))
        by = self.class_field()
        self.splits, self.groups, count = {}, {}, 0
        for split, rows in self.of.splits.items():
            self.groups[split] = Group(np.asarray(rows), Reader(self.of).column(rows, by), f"{self.type}: {split}", by)
            self.splits[split] = np.arange(count, count := count + len(rows) * self.each)
        self.count = count
        self.fields = dict.fromkeys(self.tops, self.of.fields[self.first])
        self.classes, self.names = {}, {}

    def class_field(self) -> str:
        """The field that says what is alike."""
        classes = [name for name, x in self.of.fields.items() if x.dtype == "index" and x == ()]
        if self.label is not None and self.label not in classes:
            raise Refusal(
                "source.label",
                f"{self.type}: '{self.label}' is no class of {self.of.type}; it has {', '.join(classes) or 'none'}",
            )
        if not classes:
            raise Refusal("source.of", f"{self.type}: {self.of.type} has no classes, and so nobody knows what is alike")
        return self.label or classes[0]

    def __len__(self) -> int:
        return self.count

    @property
    def one_by_one(self) -> bool:
        made: bool = self.of.one_by_one
        return made

    def members(self, indices: Any) -> Any:
        """(N, tops) samples of the source within."""
        made = np.empty((len(indices), len(self.tops)), np.int64)
        for split, rows in self.splits.items():
            here = np.flatnonzero((indices >= rows[0]) & (indices <= rows[-1]))
            if len(here):
                drawn = Draw(self.seed, self.type, np.zeros(len(here)), indices[here]).uniform(2)
                made[here] = self.pick(self.groups[split], indices[here] - rows[0], drawn)
        return made

    def pick(self, group: Group, places: Any, u: Any) -> Any:
        """(N, tops) samples for the places of a split, from (N, 2) numbers in [0, 1)."""
        raise NotImplementedError

    def read(self, indices: Any, out: Arrays) -> None:
        indices = np.asarray(indices)
        members = self.members(indices)
        for column, top in enumerate(self.tops):
            if top in out:
                self.of.read(members[:, column], {self.first: out[top]})
        self.tell(indices, out)

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        if not self.one_by_one:
            return super().sample(index, wanted)
        self.of.least = self.least
        indices = np.array([index])
        members = self.members(indices)[0]
        made = {top: self.of.sample(int(i), (self.first,))[self.first] for top, i in zip(self.tops, members) if top in wanted}
        rest = {field: np.empty(1, np.int32) for field in wanted if field not in self.tops}
        self.tell(indices, rest)
        return made | {field: rows[0] for field, rows in rest.items()}

    def tell(self, indices: Any, out: Arrays) -> None:
        """Fills the fields that are no samples."""

    def identify(self, index: int) -> str:
        return " and ".join(self.of.identify(int(i)) for i in self.members(np.array([index]))[0])

    def load(self, path: Path) -> Arrays:
        made: Arrays = self.of.load(path)
        return {self.tops[0]: made[self.first]}


class Group:
    """The samples of a split, class by class: those of class c are sorted[starts[c]] .. sorted[ends[c] - 1]."""

    def __init__(self, rows: Any, labels: Any, where: str, by: str) -> None:
        words, of = np.unique(labels, return_inverse=True)
        self.rows, self.of = rows, of
        self.sorted = np.argsort(of, kind="stable")
        self.ends = np.cumsum(np.bincount(of))
        self.starts = self.ends - np.bincount(of)
        self.place = np.empty(len(rows), np.int64)  # of a sample among the sorted ones
        self.place[self.sorted] = np.arange(len(rows))
        if len(words) < 2:
            raise DataError(f"{where} has one class only ('{by}' is {words[0]}); it takes two to tell what is not alike")
        if (lone := np.flatnonzero(self.ends - self.starts == 1)).size:
            raise DataError(
                f"{where} has one sample only whose '{by}' is {words[lone[0]]}; give it another like it, or leave it out"
            )

    def alike(self, i: Any, u: Any) -> Any:
        """Another sample of the class of each."""
        start, size = self.starts[self.of[i]], (self.ends - self.starts)[self.of[i]]
        return self.sorted[start + (self.place[i] - start + 1 + (u * (size - 1)).astype(np.int64)) % size]

    def unlike(self, i: Any, u: Any) -> Any:
        """A sample of another class than each: from behind the class on, round to its start."""
        size = (self.ends - self.starts)[self.of[i]]
        return self.sorted[(self.ends[self.of[i]] + (u * (len(self.rows) - size)).astype(np.int64)) % len(self.rows)]


@source("pairs")
class Pairs(Combined):
    """Pairs of samples of a source with classes.

    data, data_p    two samples        sim    1 where they are of one class, else 0

    of      the source; each of its splits is paired within itself
    label   its field that says what is alike, the first class it has where nothing is said
    each    how many pairs each sample opens: by turns one that is alike, then one that is not; so half are, where it is even

    Which sample is the other one is drawn by the seed, each as likely as any.      Hadsell, Chopra & LeCun, CVPR 2006
    """

    tops = ("data", "data_p")

    of: chosen("SOURCES")  # type: ignore[valid-type]
    label: str | None = None
    each: Count = 2
    seed: Natural = 1

    def open(self) -> None:
        super().open()
        self.fields["sim"] = Shape((), "index")
        self.classes, self.names = {"sim": 2}, {"sim": ["different", "alike"]}

    def same(self, places: Any) -> Any:
        """1 or 0; with one pair a sample it is the samples that take turns."""
        return 1 - (places % self.each if self.each > 1 else places) % 2

    def pick(self, group: Group, places: Any, u: Any) -> Any:
        i = places // self.each
        j = np.where(self.same(places), group.alike(i, u[:, 0]), group.unlike(i, u[:, 0]))
        return group.rows[np.stack([i, j], axis=1)]

    def tell(self, indices: Any, out: Arrays) -> None:
        if "sim" in out:
            firsts = np.array([rows[0] for rows in self.splits.values()])
            out["sim"][...] = self.same(indices - firsts[np.searchsorted(firsts, indices, side="right") - 1])


@source("triplets")
class Triplets(Combined):
    """Triplets of samples of a source with classes.

    anchor, positive, negative    a sample, another of its class, and one of another class

    of      the source; the triplets of each of its splits are made within it
    label   its field that says what is alike, the first class it has where nothing is said
    each    how many triplets have a sample as their anchor

    Positive and negative are drawn by the seed, each as likely as any.      Schroff, Kalenichenko & Philbin, CVPR 2015
    """

    tops = ("anchor", "positive", "negative")

    of: chosen("SOURCES")  # type: ignore[valid-type]
    label: str | None = None
    each: Count = 1
    seed: Natural = 1

    def pick(self, group: Group, places: Any, u: Any) -> Any:
        i = places // self.each
        return group.rows[np.stack([i, group.alike(i, u[:, 0]), group.unlike(i, u[:, 1])], axis=1)]
