"""Which samples are train, val, test or another split: the source's own, and what a config takes out of train."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from dltrain.errors import DataError, Refusal, did_you_mean
from dltrain.expression import Expression
from dltrain.fields import Count, Positive
from dltrain.ops import philox
from dltrain.reader import Reader


@dataclass(kw_only=True)
class Taken:
    """What a split other than train takes out of train; one of

    hold_out   so many samples (below 1: that part), by the seed, evenly over the classes of a label; of samples that continue
               one another, the last ones
    fold, of   part `fold` (from 1) of `of` equal parts, by the seed, evenly over the classes
    range      [first, end): samples of train by their place, the end not among them
    where      an expression over what is known of a sample (parts of its file's name, its fields of one number): "take < 5"
    list       a file that names them, a line each: places, or what the source calls its samples
    """

    hold_out: Positive | None = None
    fold: Count | None = None
    of: Count | None = None
    range: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None = None
    where: str | None = None
    list: str | None = None

    @property
    def way(self) -> str | None:
        """Which of the ways is said; Refusal where more than one is."""
        said = [key for key in ("hold_out", "fold", "range", "where", "list") if getattr(self, key) is not None]
        if len(said) > 1:
            raise Refusal(said[1], f"takes samples by {said[0]} already; leave one of them out")
        if (self.fold is None) != (self.of is None):
            raise Refusal("of" if self.fold is None else "fold", "fold and of go together: {fold: 1, of: 5}")
        if self.fold is not None and self.of is not None and self.fold > self.of:
            raise Refusal("fold", f"is {self.fold} of {self.of}; folds count from 1")
        return said[0] if said else None


def divide(reader: Reader, seed: int, parts: list[tuple[str, Taken]], val_given_back: bool) -> dict[str, Any]:
    """A source's splits, and what the config takes out of train: first what is named, then what is drawn of the rest."""
    splits = {name: np.asarray(indices) for name, indices in reader.source.splits.items()}
    if "val" in splits and (val_given_back or any(name == "val" for name, _ in parts)):  # the source's customary val
        splits["train"] = np.sort(np.concatenate([splits["train"], splits.pop("val")]))
    if "train" not in splits:
        raise DataError(f"data: {reader.source.type} has no samples for train; give data.train.source another source")
    named, drawn = ([one for one in parts if (one[1].way in ("hold_out", "fold")) == late] for late in (False, True))
    train, left = Train(reader, seed, "", splits["train"]), np.ones(len(splits["train"]), bool)
    for name, said in named:  # places and conditions speak of train as it was
        mask = taken(name, said, train)
        if (mask & ~left).any():
            row = int(np.flatnonzero(mask & ~left)[0])
            words = (
                f"{name}: {said.way} takes {train.identify(row)}, which another split has taken; a sample is in one split only"
            )
            raise Refusal(f"{name}.{said.way}", words)
        splits[name], left = train.rows[mask], left & ~mask
    splits["train"] = train.rows[left]
    for name, said in sorted(drawn, key=lambda one: one[0] != "test"):  # test first: it does not hang on what val is
        train = Train(reader, seed, name, splits["train"])
        mask = taken(name, said, train)
        splits[name], splits["train"] = train.rows[mask], train.rows[~mask]
    for name, indices in splits.items():
        if len(indices) == 0:
            raise DataError(f"data: the split '{name}' of {reader.source.type} has no samples")
    return splits


def taken(name: str, said: Taken, train: Train) -> Any:
    """The mask of `take`, refused with the name of the split."""
    try:
        return take(name, said, train)
    except Refusal as refusal:
        raise Refusal(f"{name}.{refusal.key}", f"{name}: {refusal}") from None


class Train:
    """The training samples, for what is taken out of them."""

    def __init__(self, reader: Reader, seed: int, name: str, rows: Any) -> None:
        self.reader, self.source, self.seed, self.name, self.rows = reader, reader.source, seed, name, rows
        self.count = len(rows)

    def identify(self, row: int) -> str:
        return self.source.identify(int(self.rows[row]))

    def fact(self, name: str) -> Any:
        """What is known of each sample under a name: a part of its file's name, or a field of one number."""
        source = self.source
        facts, fields = getattr(source, "facts", {}), source.fields
        if name in facts:
            return [facts[name][int(row)] for row in self.rows]
        if fields.get(name) != ():
            known = [*facts, *(field for field, x in fields.items() if x == ())]
            raise ValueError(f"there is no '{name}' to go by; {source.type} has {', '.join(known) or 'nothing'}")
        return self.reader.column(self.rows, name).tolist()

    def ranks(self) -> Any:
        source = self.source
        if source.arrange(self.rows, 1) is not None:
            return None
        label = next((field for field, shape in source.fields.items() if shape.dtype == "index" and shape == ()), None)
        return ranked(self.seed, self.name, None if label is None else self.reader.column(self.rows, label), self.count)


def take(name: str, said: Taken, train: Train) -> Any:
    """A mask over the training samples: which of them the split takes.

    The ranks give each sample a place in an order by the seed, any first part of which holds every class in proportion; they
    are None where samples continue one another.
    """
    count, ranks = train.count, train.ranks() if said.way in ("hold_out", "fold") else None
    way = said.way
    mask = np.zeros(count, bool)
    if way == "hold_out":
        amount = said.hold_out or 0.0
        if amount >= 1 and amount != int(amount):
            raise Refusal("hold_out", f"hold_out is {amount:g}; it counts samples, or is a part below 1")
        some = round(amount * count) if amount < 1 else int(amount)
        mask[-some or count :] = True
        if ranks is not None:
            mask = ranks < some
    elif way == "fold":
        fold, of = said.fold or 1, said.of or 1
        order = np.arange(count) if ranks is None else ranks
        mask = order * of // count == fold - 1
    elif way == "range" and said.range is not None:
        first, end = said.range
        if not first < end <= count:
            raise Refusal("range", f"[{first}, {end}) is not within the {count:,} training samples")
        mask[first:end] = True
    elif way == "list":
        mask[listed(Path(said.list or ""), count, train.identify)] = True
    elif way == "where":
        mask[:] = chosen(said.where or "", train)
    if mask.all() or not mask.any():
        raise DataError(f"data: {name}: {way} of {count} training samples leaves one side empty")
    return mask


def chosen(text: str, train: Train) -> Any:
    """For each training sample whether an expression is true of it."""
    try:
        expression = Expression(text)
        facts = {fact: train.fact(fact) for fact in sorted(expression.names)}
        rows = ({fact: values[row] for fact, values in facts.items()} for row in range(train.count))
        return np.fromiter((bool(expression.value(row)) for row in rows), bool, train.count)
    except ValueError as error:
        raise Refusal("where", str(error)) from None


def listed(path: Path, count: int, identify: Callable[[int], str]) -> list[int]:
    """The training samples that a file names, a line each."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); list takes a text file, a sample a line") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    numbers = all(re.fullmatch("[0-9]{1,18}", line) for line in lines)
    known = {str(row): row for row in range(count)} if numbers else {identify(row): row for row in range(count)}
    for number, line in enumerate(lines, 1):
        if line not in known:
            way_out = f"there are {count:,}, from 0" if numbers else did_you_mean(line, known)
            raise DataError(f"{path}: sample {number}, '{line}', is not in train; {way_out}")
    return [known[line] for line in lines]


def ranked(seed: int, name: str, labels: Any, count: int) -> Any:
    """For each sample its place in an order by the seed whose first parts hold each class in proportion."""
    order = philox.permutation(philox.key(seed, f"hold_out {name}"), 0, count)
    if labels is not None:
        order = order[np.argsort(spread_classes(labels[order]), kind="stable")]
    ranks = np.empty(count, np.int64)
    ranks[order] = np.arange(count)
    return ranks


def spread_classes(labels: Any) -> Any:
    """A rank for each sample so that any first part of the ranking holds each class in proportion."""
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        ranks[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return ranks
