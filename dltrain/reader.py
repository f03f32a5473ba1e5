"""Reading samples from a source: which is at work, what is kept in memory, and what happens to those that cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.source import Arrays, Shape, Source, empty, varies

TRIES = 100  # unreadable samples in a row that are too many
PART = 256  # samples that are read together where a whole split is looked at


class Reader:
    """A source, with a memory for samples that are decoded one by one.

    skipped   index -> why, of samples that could not be read (`on_error: skip`)
    """

    def __init__(self, source: Source, skip: bool = False, cache: float = 0) -> None:
        self.source, self.skip, self.room = source, skip, cache
        self.kept: dict[int, Arrays] = {}
        self.lock = threading.Lock()
        self.skipped: dict[int, str] = {}
        self.reading: dict[int, int] = {}  # thread -> index
        self.small: set[str] = set()  # fields of which bytes may stay bytes
        self.told: Callable[[str], None] | None = None  # in a worker process: the way to tell what is being read

    def at(self) -> str:
        """What is being read, for those who wait."""
        names = [self.source.identify(index) for index in list(self.reading.values())]
        return f"reading {', '.join(names)}" if names else f"in {self.source.type}"

    def read(self, indices: Any, wanted: Collection[str], instead: Callable[[int], int] | None = None) -> tuple[Arrays, Any]:
        """The fields of some samples, and their indices: those asked for, but for such as cannot be read.

        Those are left out, or replaced by `instead` of them.  A field whose samples differ in size is a list of arrays.
        """
        if not self.source.one_by_one:
            out = {field: empty(self.source.fields[field], len(indices)) for field in wanted}
            self.at_work(int(indices[0]) if len(indices) else 0, lambda: self.source.read(indices, out))
            return out, indices
        got = [found for index in indices if (found := self.one(int(index), wanted, instead)) is not None]
        if not got:
            raise DataError(f"data: none of {len(indices)} samples can be read; {next(iter(self.skipped.values()), '')}")
        batch: Arrays = {}
        for field in wanted:
            shape, samples = self.source.fields[field], [sample[field] for _, sample in got]
            batch[field] = samples if varies(shape) else stacked(samples, shape, field in self.small)
        return batch, np.array([index for index, _ in got])

    def one(self, index: int, wanted: Collection[str], instead: Callable[[int], int] | None) -> tuple[int, Arrays] | None:
        """A sample, or the one instead of it; None where it is left out."""
        for _ in range(TRIES):
            if index not in self.skipped:
                try:
                    return index, self.sample(index, wanted)
                except DataError as error:
                    if not self.skip:
                        raise
                    self.skipped[index] = str(error)
            if instead is None:
                return None
            index = instead(index)
        raise DataError(f"data: {TRIES} samples one after another cannot be read; {self.skipped[index]}")

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        """A sample, from memory where it has been kept."""
        found = self.kept.get(index)
        if found is None or not found.keys() >= set(wanted):
            found = self.at_work(index, lambda: self.source.sample(index, wanted))
            self.keep(index, found)
        return found

    def keep(self, index: int, sample: Arrays) -> None:
        """Keeps what of a sample is not kept yet, where there is room."""
        if self.room <= 0:
            return
        with self.lock:
            known = self.kept.get(index, {})
            fresh = {field: array for field, array in sample.items() if field not in known}
            size = sum(np.asarray(array).nbytes for array in fresh.values())
            if size <= self.room:
                self.kept[index] = {**known, **fresh}
                self.room -= size

    def at_work(self, index: int, act: Callable[[], Any]) -> Any:
        thread = threading.get_ident()
        self.reading[thread] = index
        if self.told is not None:
            self.told(self.source.identify(index))
        try:
            return act()
        finally:
            self.reading.pop(thread, None)

    def parts(self, indices: Any, wanted: Collection[str]) -> Iterator[tuple[Any, Arrays]]:
        """(indices, fields) of many samples, some at a time."""
        for start in range(0, len(indices), PART):
            batch, read = self.read(indices[start : start + PART], wanted)
            yield read, batch

    def column(self, indices: Any, field: str) -> Any:
        """A field of many samples as one array."""
        out = empty(self.source.fields[field], len(indices))
        for start in range(0, len(indices), PART):
            some = indices[start : start + PART]
            batch, read = self.read(some, (field,))
            if len(read) < len(some):
                raise DataError(f"data: {self.skipped[next(int(i) for i in some if int(i) in self.skipped)]}")
            out[start : start + PART] = batch[field]
        return out


def stacked(samples: list[Any], shape: Shape, small: bool = False) -> Any:
    """Samples of one size as one array; bytes as bytes where that is asked for."""
    whole = small and all(getattr(sample, "dtype", None) == np.uint8 for sample in samples)
    made = np.empty((len(samples), *shape), np.uint8) if whole else empty(shape, len(samples))
    for row, sample in enumerate(samples):
        made[row] = sample
    return made
