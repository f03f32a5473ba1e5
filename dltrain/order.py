"""The order of training: one endless stream of samples, pass after pass, each a pure function of (seed, pass)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dltrain.errors import DataError, Refusal
from dltrain.fields import Count
from dltrain.ops import philox


@dataclass(kw_only=True)
class Shuffle:
    """Which neighbours may meet: all (the default), or those of one `window` of so many samples.

    With a window the set is cut into windows, which come in a drawn order, each shuffled within itself: a store on a disk is
    then read from place to place, and little of it at a time.
    """

    window: Count | None = None


@dataclass(kw_only=True)
class Sampling:
    """Which samples a pass over train is made of, where it is not simply each of them once.

    balanced   as many samples of every class of the field `by`: the classes take turns, in a drawn order, and each goes
               through its own samples, in permutations of its own
    weighted   each sample drawn with a probability in proportion to its field `by`, again and again
    lengths    each sample once, but every batch of samples with one value of the field `by` (their length): a value is drawn,
               then a batch of it; the last batch of a value may reach into the next        (Xu et al. 2015)
    """

    type: Literal["balanced", "weighted", "lengths"]
    by: str | None = None


class Order:
    """What row comes at which place of the stream; rows count the samples of train."""

    def __init__(
        self, seed: int, count: int, size: int, shuffle: Shuffle | None = None, sampling: Sampling | None = None,
        values: Any = None, fixed: Any = None, drop_last: bool = False,
    ) -> None:  # fmt: skip
        """`values` are those of the field that sampling goes by; `fixed` is an order to keep to, for samples that continue."""
        self.seed, self.count, self.size = seed, count, size
        self.shuffle, self.values, self.fixed = shuffle, values, fixed
        self.make: Callable[[int], Any] = getattr(self, sampling.type) if sampling else self.plain
        whole = count if fixed is None else len(fixed)
        self.length = whole // size * size if drop_last or fixed is not None else whole  # of one pass
        if self.length == 0:
            raise DataError(f"data: {whole} samples make no batch of {size}; make batch_size smaller")
        self.known: dict[int, Any] = {}

    def rows(self, places: Any) -> tuple[Any, Any]:
        """(rows, passes) at some places of the stream."""
        passes = places // self.length
        made = [self.of(int(number))[places[passes == number] % self.length] for number in np.unique(passes)]
        return np.concatenate(made), passes

    def of(self, number: int) -> Any:
        """The rows of one pass.  The dictionary is replaced, never changed: another thread may be reading it."""
        found = self.known.get(number)
        if found is None:
            found = self.make(number)[: self.length]
            self.known = {old: order for old, order in self.known.items() if abs(old - number) <= 2} | {number: found}
        return found

    def key(self, purpose: str = "order") -> tuple[int, int]:
        return philox.key(self.seed, purpose)

    # --- kinds ---
    def plain(self, number: int) -> Any:
        if self.fixed is not None:
            return self.fixed
        if self.shuffle is None:
            return np.arange(self.count)
        window = self.shuffle.window
        if window is None or window >= self.count:
            return philox.permutation(self.key(), number, self.count)
        windows = philox.permutation(self.key("order of windows"), number, -(-self.count // window))
        within = philox.permutation(self.key(), number, self.count)  # sorted by window, each keeps a drawn order of its own
        rank = np.empty(len(windows), np.int64)
        rank[windows] = np.arange(len(windows))
        return within[np.argsort(rank[within // window], kind="stable")]

    def balanced(self, number: int) -> Any:
        classes, member = np.unique(self.values, return_inverse=True)
        turns = -(-self.count // len(classes))
        sequence = np.concatenate(
            [philox.permutation(self.key("order of classes"), number * turns + turn, len(classes)) for turn in range(turns)]
        )[: self.count]
        made = np.empty(self.count, np.int64)
        for label in range(len(classes)):
            rows, places = np.flatnonzero(member == label), np.flatnonzero(sequence == label)
            key, some = self.key(f"order of class {classes[label]}"), number * turns + np.arange(len(places))
            rounds = np.unique(some // len(rows))
            orders = np.concatenate([philox.permutation(key, int(each), len(rows)) for each in rounds])
            made[places] = rows[orders[some - rounds[0] * len(rows)]]
        return made

    def weighted(self, number: int) -> Any:
        weights = np.asarray(self.values, np.float64)
        ends = np.cumsum(weights)
        drawn = philox.uniform(self.key("weighted"), number, self.count) * ends[-1]
        return np.minimum(np.searchsorted(ends, drawn, side="right"), self.count - 1)

    def lengths(self, number: int) -> Any:
        shuffled = philox.permutation(self.key(), number, self.count)
        sorted_ = shuffled[np.argsort(self.values[shuffled], kind="stable")]
        batches = [sorted_[start : start + self.size] for start in range(0, self.count, self.size)]
        full = [batch for batch in batches if len(batch) == self.size]  # the one that is not comes last: batches stay whole
        turn = philox.permutation(self.key("order of lengths"), number, len(full))
        return np.concatenate([*(full[at] for at in turn), *(batch for batch in batches if len(batch) < self.size)])


def checked(values: Any, sampling: Sampling) -> Any:
    """The values that sampling goes by; Refusal where they cannot be what it needs."""
    if sampling.type == "weighted":
        wrong = ~(np.isfinite(values) & (np.asarray(values) >= 0))
        if wrong.any() or not np.any(values):
            words = f"{values[np.flatnonzero(wrong)[0]]:g} in row {np.flatnonzero(wrong)[0]}" if wrong.any() else "0 everywhere"
            raise Refusal("sampling", f"sampling: weights must be 0 or more, and not all 0; '{sampling.by}' is {words}")
    return np.asarray(values)
