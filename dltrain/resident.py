"""A training split that lies on the device: its samples go there once, made, and a batch is then no more than their numbers.

Only where no step of the transform draws, so that a sample is the same in every epoch, and where it all fits easily.
"""

from __future__ import annotations

from math import prod
from typing import Any, NoReturn

import numpy as np

from dltrain.feed import Feed
from dltrain.source import Arrays
from dltrain.tensor import Picked

SHARE = 4  # of the memory that is free, one part in so many
AT_ONCE = 1024  # samples that are made together


class Drew(Exception):
    """A step has asked for a random number."""


class Chance:
    """Randomness that nobody may use."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Drew


def draws_nothing(feed: Feed) -> bool:
    """True where every step of training's chain gives the same, whatever is drawn."""
    chain = feed.chains["train"]
    batch, _ = feed.reader.read(feed.splits["train"][:1], tuple(feed.source.fields), feed.next_of_train)
    try:
        chain.run(batch, feed.seed, feed.splits["train"][:1], None, {link.number: Chance() for link in chain.links})
    except Drew:
        return False
    return True


def may_reside(feed: Feed, free: int) -> bool:
    """True where the training split can be kept on a device with so many bytes free."""
    held = len(feed.splits["train"]) * sum(4 * prod(shape) for shape in feed.fields.values())
    plain = not feed.trims and feed.keys.on_error != "skip" and feed.keys.epoch_size is None
    return plain and 0 < held * SHARE <= free and draws_nothing(feed)


class Resident:
    """The batches of a feed, as numbers of rows of tables that hold the whole training split."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        rows = feed.splits["train"]
        parts = [feed.make(rows[at : at + AT_ONCE], np.zeros(len(rows[at : at + AT_ONCE]), np.int64))
                 for at in range(0, len(rows), AT_ONCE)]  # fmt: skip
        self.tables: Arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def train_batches(self, first: int, count: int) -> list[dict[str, Any]]:
        """Some batches of the endless stream."""
        size, (rank, of) = self.feed.batch_size("train"), self.feed.share
        places = np.arange(first * size, (first + count) * size).reshape(count, size)
        rows, _ = self.feed.order.rows(places[:, rank * size // of : (rank + 1) * size // of].reshape(-1))
        return [{name: Picked(table, each) for name, table in self.tables.items()}
                for each in np.asarray(rows, np.int32).reshape(count, -1)]  # fmt: skip
