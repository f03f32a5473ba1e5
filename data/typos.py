"""Typos: what disturbs a text on its way to the reader."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from dltrain.errors import Refusal
from dltrain.fields import Natural, one_or_more, some
from dltrain.source import Draw, Shape, Step, Training, transform

Kind = Literal["replace", "drop", "swap"]
KINDS: tuple[Kind, ...] = ("replace", "drop", "swap")


@transform("typos")
class Typos(Step):
    """y = x, in train with mistakes: at each place with the given probability one of `kinds`, drawn.

    replace   y_t = x_s, s any place of the same text        drop   what follows moves up, `pad` comes behind the last
    swap      y_t = x_{t+1}, y_{t+1} = x_t

    x, y  (N, T) index        the run of `pad` at the end of a text is no part of it, and stays
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.05
    kinds: Annotated[tuple[Kind, ...], BeforeValidator(some), one_or_more({"enum": list(KINDS)})] = KINDS
    pad: Natural = 0
    phase: Literal["train", "test"] | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if len(x) != 1 or x.dtype != "index":
            raise Refusal("", f"typos: needs a text (a row of numbers of symbols), not {x.dtype} {x}")
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        if draw is None:
            return x
        size = x.shape[1]
        place = np.arange(size)
        length = np.where(x != self.pad, place + 1, 0).max(axis=1)[:, None]  # (N, 1)
        hit = (draw.many(size) < self.probability) & (place < length)
        chosen = (draw.many(size, 1) * len(self.kinds)).astype(np.intp)
        does = {kind: hit & (chosen == number) for number, kind in enumerate(self.kinds)}
        no = np.zeros_like(hit)
        other = (draw.many(size, 2) * length).astype(np.intp)
        y = np.where(does.get("replace", no), np.take_along_axis(x, other, 1), x)
        y = swapped(y, does.get("swap", no) & (place < length - 1))
        return dropped(y, does.get("drop", no), self.pad)


def swapped(x: Any, wanted: Any) -> Any:
    """Each wanted place exchanged with the next; one that has been exchanged already stays."""
    source = np.broadcast_to(np.arange(x.shape[1]), x.shape).copy()
    free = np.ones(len(x), bool)
    for t in range(x.shape[1] - 1):
        now = wanted[:, t] & free
        source[now, t], source[now, t + 1] = t + 1, t
        free = ~now
    return np.take_along_axis(x, source, 1)


def dropped(x: Any, unwanted: Any, pad: int) -> Any:
    """What is left of each row, moved up."""
    order = np.argsort(unwanted, axis=1, kind="stable")
    left = (~unwanted).sum(axis=1)[:, None]
    return np.where(np.arange(x.shape[1]) < left, np.take_along_axis(x, order, 1), x.dtype.type(pad))
