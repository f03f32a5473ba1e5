"""dltrain data stats: what is in a set, split by split, and what is wrong with it, before anybody trains on it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltrain.console import Console
from dltrain.data_section import document_of, untransformed
from dltrain.errors import DataError
from dltrain.feed import Feed
from dltrain.reader import PART
from dltrain.source import Arrays, Shape

NAMED = 10  # samples, classes and groups that are named one by one; the rest are counted
MOST_CLASSES = 1000  # different whole numbers that are counted one by one


@dataclass
class Moments:
    """Mean, spread and ends of each channel, one batch after another (Chan, Golub & LeVeque 1983), in float64.

    mean <- mean + d m / n      M <- M + M_batch + d^2 m (n - m) / n      d = mean_batch - mean, of m new numbers, n in all
    """

    count: int = 0
    mean: Any = 0.0
    squares: Any = 0.0
    least: Any = np.inf
    most: Any = -np.inf
    strange: int = 0  # numbers that are not finite, left out of all else

    def add(self, x: Any) -> None:
        """x  (channels, numbers)"""
        good = np.isfinite(x)
        if not good.all():
            self.strange += int(good.size - good.sum())
            x = x[:, good.all(axis=0)]
        if x.shape[1] == 0:
            return
        x = x.astype(np.float64)
        m, mean = x.shape[1], x.mean(axis=1)
        self.squares = self.squares + ((x - mean[:, None]) ** 2).sum(axis=1)
        d, self.count = mean - self.mean, self.count + m
        self.squares = self.squares + d * d * m * (self.count - m) / self.count
        self.mean = self.mean + d * m / self.count
        self.least, self.most = np.minimum(self.least, x.min(axis=1)), np.maximum(self.most, x.max(axis=1))

    def told(self) -> dict[str, Any]:
        if not self.count:
            return {"strange": self.strange}
        spread = np.sqrt(self.squares / self.count)
        made = {"mean": self.mean, "std": spread, "min": self.least, "max": self.most}
        return {**{key: [float(number) for number in numbers] for key, numbers in made.items()}, "strange": self.strange}


@dataclass
class FieldStats:
    """What is gathered of one field of a split."""

    shape: Shape
    classes: Counter[int] = field(default_factory=Counter)
    moments: Moments = field(default_factory=Moments)
    smallest: tuple[int, ...] | None = None
    largest: tuple[int, ...] | None = None

    def add(self, x: Any) -> None:
        """One sample."""
        x = np.asarray(x)
        self.smallest = x.shape if self.smallest is None else tuple(map(min, self.smallest, x.shape))
        self.largest = x.shape if self.largest is None else tuple(map(max, self.largest, x.shape))
        if self.shape.dtype == "index":
            if len(self.classes) <= MOST_CLASSES:
                self.classes.update(dict(zip(*(part.tolist() for part in np.unique(x, return_counts=True)), strict=True)))
        else:
            self.moments.add(x.reshape(len(x) if x.ndim == 3 else 1, -1))

    def told(self) -> dict[str, Any]:
        made: dict[str, Any] = {"smallest": self.smallest, "largest": self.largest}
        if self.shape.dtype == "index":
            return {**made, "classes": {str(number): self.classes[number] for number in sorted(self.classes)}}
        return {**made, **self.moments.told()}


class Survey:
    """One pass over all splits."""

    def __init__(self, feed: Feed) -> None:
        self.feed, self.source = feed, feed.source
        self.fields = {split: {name: FieldStats(x) for name, x in self.source.fields.items()} for split in feed.splits}
        self.read = dict.fromkeys(feed.splits, 0)
        self.unreadable: dict[str, dict[str, str]] = {split: {} for split in feed.splits}
        self.seen: dict[int, tuple[str, int]] = {}  # the hash of the data -> where it stood first
        self.twins: dict[int, list[tuple[str, int]]] = {}
        measured = [name for name, x in self.source.fields.items() if x.dtype != "index" and x != ()]
        self.compared = measured or [next(iter(self.source.fields))]  # what makes two samples the same: all but labels

    def look(self) -> None:
        for split, rows in self.feed.splits.items():
            for start in range(0, len(rows), PART):
                self.part(split, rows[start : start + PART])

    def part(self, split: str, rows: Any) -> None:
        if self.source.one_by_one:
            for row in rows:
                try:
                    self.sample(split, int(row), self.source.sample(int(row), tuple(self.source.fields)))
                except DataError as error:
                    self.unreadable[split][self.source.identify(int(row))] = str(error)
            return
        batch, _ = self.feed.reader.read(rows, tuple(self.source.fields))
        for at, row in enumerate(rows):
            self.sample(split, int(row), {name: values[at] for name, values in batch.items()})

    def sample(self, split: str, row: int, sample: Arrays) -> None:
        self.read[split] += 1
        for name, value in sample.items():
            self.fields[split][name].add(value)
        total = hashlib.blake2b(digest_size=12)
        for name in self.compared:
            data = np.ascontiguousarray(sample[name])
            total.update(f"{data.dtype.str}{data.shape}".encode())
            total.update(data.tobytes())
        word = int.from_bytes(total.digest())
        if word in self.seen:
            self.twins.setdefault(word, [self.seen[word]]).append((split, row))
        else:
            self.seen[word] = (split, row)

    # --- what is wrong ---
    def duplicates(self) -> list[dict[str, Any]]:
        """Groups of samples whose data are the same, those that stand in several splits first."""
        groups = [
            {
                "splits": sorted({split for split, _ in group}),
                "samples": [[split, self.source.identify(row)] for split, row in group],
            }
            for group in self.twins.values()
        ]
        return sorted(groups, key=lambda group: -len(group["splits"]))

    def missing(self) -> dict[str, dict[str, list[str]]]:
        """Classes of a label of one number that a split has not: split -> field -> names.  A length is no class."""
        found: dict[str, dict[str, list[str]]] = {}
        for name, x in self.source.fields.items():
            known = set(range(getattr(self.source, "classes", {}).get(name, 0)))
            known |= {number for fields in self.fields.values() for number in fields[name].classes}
            if name == "length" or x.dtype != "index" or x != () or len(known) > MOST_CLASSES:
                continue
            for split, fields in self.fields.items():
                if lacks := sorted(known - set(fields[name].classes)):
                    found.setdefault(split, {})[name] = [self.word(name, number) for number in lacks]
        return found

    def word(self, name: str, number: int) -> str:
        words = getattr(self.source, "names", {}).get(name, [])
        return str(words[number]) if 0 <= number < len(words) else str(number)

    def told(self) -> dict[str, Any]:
        splits = {}
        for split, rows in self.feed.splits.items():
            fields = {name: each.told() for name, each in self.fields[split].items()}
            splits[split] = {"samples": len(rows), "unreadable": self.unreadable[split], "fields": fields}
        return {"source": self.source.type, "splits": splits, "names": getattr(self.source, "names", {}),
                "missing": self.missing(), "duplicates": self.duplicates()}  # fmt: skip


def stats(what: str, settings: tuple[str, ...], console: Console) -> None:
    """dltrain data stats CONFIG|SOURCE"""
    feed = untransformed(document_of(what, settings))
    survey = Survey(feed)
    survey.look()
    told = survey.told()
    from dltrain.stats_text import text

    console.result(told, text(told))
