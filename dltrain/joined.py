"""Several sources as one: where a split has a source of its own, its samples are numbered behind those of the others."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.source import Arrays, Source


class Joined(Source):
    """The source of a config, with the sources that some splits have of their own."""

    type = "joined"

    def __init__(self, main: Source, others: dict[str, Source]) -> None:
        self.main, self.others = main, others

    def open(self) -> None:
        self.parts = [self.main, *self.others.values()]
        for part in self.parts:
            part.open()
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.fields, self.classes = self.main.fields, getattr(self.main, "classes", {})
        self.names, self.sequences = getattr(self.main, "names", {}), self.main.sequences
        known = [getattr(part, "facts", {}) for part in self.parts]
        shared = [name for name in known[0] if all(name in facts for facts in known)]
        self.facts = {name: list(chain.from_iterable(facts[name] for facts in known)) for name in shared}
        self.splits = dict(self.main.splits)
        for start, (split, part) in zip(self.starts[1:], self.others.items(), strict=False):
            self.compare(split, part)
            own = part.splits.get(split)
            rows = np.sort(np.concatenate(list(part.splits.values()))) if own is None else np.asarray(own)
            self.splits[split] = rows + start

    def compare(self, split: str, part: Source) -> None:
        """The samples of every split must be alike."""
        ours, theirs = ({name: f"{x.dtype} {x}" for name, x in fields.items()} for fields in (self.main.fields, part.fields))
        for name in {**ours, **theirs}:
            one, two = ours.get(name, "no such field"), theirs.get(name, "no such field")
            if one != two:
                raise DataError(f"data: '{name}' is {one} in data.source and {two} in data.{split}.source; splits must be alike")
        for name, words in self.names.items():
            if getattr(part, "names", {}).get(name, words) != words:
                raise DataError(f"data: the classes of '{name}' are not the same in data.source and data.{split}.source: "
                                f"{unlike(words, part.names[name])}")  # fmt: skip

    def __len__(self) -> int:
        return int(self.starts[-1])

    def at(self, index: int) -> tuple[Source, int]:
        """The source of a sample, and its number there."""
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.parts[part], index - int(self.starts[part])

    @property
    def one_by_one(self) -> bool:
        return any(part.one_by_one for part in self.parts)

    def read(self, indices: Any, out: Arrays) -> None:
        indices = np.asarray(indices)
        for number, part in enumerate(self.parts):
            here = np.flatnonzero((indices >= self.starts[number]) & (indices < self.starts[number + 1]))
            if len(here):
                mine = {field: np.empty((len(here), *rows.shape[1:]), rows.dtype) for field, rows in out.items()}
                part.read(indices[here] - self.starts[number], mine)
                for field, rows in mine.items():
                    out[field][here] = rows

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        part, number = self.at(index)
        part.least = self.least
        return part.sample(number, wanted)

    def identify(self, index: int) -> str:
        part, number = self.at(index)
        return part.identify(number)

    def arrange(self, rows: Any, size: int) -> Any:
        rows = np.asarray(rows)
        part, _ = self.at(int(rows[0]))
        start = int(self.starts[self.parts.index(part)])
        made = part.arrange(rows - start, size)
        return None if made is None else made + start

    def load(self, path: Any) -> Arrays:
        return self.main.load(path)


def unlike(one: list[str], other: list[str]) -> str:
    """The first words that only one of two lists has."""
    mine, theirs = [w for w in one if w not in other][:3], [w for w in other if w not in one][:3]
    return f"{', '.join(mine) or 'nothing'} against {', '.join(theirs) or 'nothing'}" if mine or theirs else "another order"
