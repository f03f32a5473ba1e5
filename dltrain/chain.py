"""The steps of a transform, one after another, from what a source gives to what the net reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dltrain.errors import DataError, Refusal
from dltrain.ops.backend import DTYPES
from dltrain.reader import stacked
from dltrain.source import Arrays, Draw, Shape, Step, Unfit, varies

Part = Literal["train", "test"]
Unmade = Callable[[list["Link"], str], Iterator[Any]]  # a field of the training split after some links, in parts


@dataclass
class Link:
    """A step for one field, with the shape that it makes."""

    number: int
    top: str
    step: Step
    made: Shape
    flat: bool = False  # a label image H x W, which the step sees as 1 x H x W

    def apply(self, x: Any, draw: Draw | None) -> Any:
        """The field of a batch after this step: an array, or a list of arrays where they still differ in size."""
        if self.flat:
            whole = Link(self.number, self.top, self.step, self.made).apply(
                [one[None] for one in x] if isinstance(x, list) else x[:, None], draw
            )
            return [one[0] for one in whole] if isinstance(whole, list) else whole[:, 0]
        if isinstance(x, list):
            y: Any = Step.apply(self.step, x, draw)
        else:
            y = self.step.apply(x, draw)
        return stacked(y, self.made) if isinstance(y, list) and not varies(self.made) else y


class Chain:
    """The steps that act in one phase.

    fields   what the net reads: name -> shape
    run      a batch from the source, through every step
    state    what steps have computed over the training split, by the number of the step
    """

    def __init__(
        self, steps: list[Step], phase: Part, fields: dict[str, Shape], saved: dict[str, Arrays], unmade: Unmade,
        prefix: str = "", identify: Callable[[int], str] = str,
    ) -> None:  # fmt: skip
        """`prefix` is the split whose own steps these are, with a dot; `identify` tells what a person calls a sample."""
        self.identify = identify
        self.fields, self.saved, self.unmade, self.prefix = dict(fields), saved, unmade, prefix
        self.links: list[Link] = []
        self.first = next(iter(fields))
        for number, step in enumerate(steps):
            if step.phase in (None, phase):
                try:
                    self.add(number, step)
                except Refusal as refusal:
                    raise Refusal(f"{prefix}{number}.{refusal.key}", str(refusal)) from None

    def add(self, number: int, step: Step) -> None:
        for top in self.tops(step):
            mine = copy(step)
            name = f"{self.prefix}{number}"
            if name in self.saved:
                mine.restore(self.saved[name])
            x, flat = self.fields[top], step.moves and len(self.fields[top]) == 2
            if varies(x) and not step.one_by_one:
                raise Refusal("", f"{step.type}: samples of '{top}' differ in size; put resize or crop before it")
            above = list(self.links)
            made = mine.setup(Shape((1, *x), x.dtype) if flat else x, lambda above=above, top=top: self.unmade(above, top))  # type: ignore[misc]
            self.links.append(Link(number, top, mine, made, flat))
            self.fields[top] = Shape(made[1:], made.dtype) if flat else made
            if state := mine.state():
                self.saved[name] = state

    def tops(self, step: Step) -> list[str]:
        """The fields that a step acts on."""
        if step.top is not None:
            if step.top not in self.fields:
                raise Refusal("top", f"there is no field '{step.top}'; the source has {', '.join(self.fields)}")
            return [step.top]
        if step.mixes:
            return list(self.fields)
        if step.moves:
            size = self.fields[self.first][1:]
            alike = [name for name, x in self.fields.items() if is_label_image(x) and x[-2:] == size]
            return [self.first, *(name for name in alike if name != self.first)]
        return [self.first]

    def settle(self) -> None:
        """Refuses fields that still differ in size after the last step."""
        for name, shape in self.fields.items():
            if varies(shape):
                raise Refusal("", f"samples of '{name}' differ in size ({shape}); end with resize, crop or pad")

    def least(self, field: str) -> tuple[int, int] | None:
        """The height and width that the first step needs of a picture; None where it needs all there is."""
        first = next((link.step for link in self.links if link.top == field), None)
        return first.least() if first is not None else None

    def run(self, batch: Arrays, seed: int, indices: Any, epochs: Any = None) -> Arrays:
        """A batch through every step; with `epochs` it is a training batch, and random steps draw."""
        for link in self.links:
            draw = None if epochs is None else Draw(seed, f"transform {link.number} {link.step.type}", epochs, indices)
            try:
                batch[link.top] = link.apply(batch[link.top], draw)
            except Unfit as error:
                raise DataError(f"{self.identify(int(indices[error.row]))}: {error}") from None
        return {name: arrayed(batch[name], self.fields[name]) for name in self.fields if name in batch}


def is_label_image(x: Shape) -> bool:
    """H x W classes, one a pixel; or 1 x H x W of them."""
    return x.dtype == "index" and (len(x) == 2 or (len(x) == 3 and x[0] == 1))


def through(links: list[Link], top: str, x: Any) -> Any:
    """A field through some links without randomness."""
    for link in links:
        if link.top == top:
            x = link.apply(x, None)
    return x


def arrayed(x: Any, shape: Shape) -> Any:
    """As the net takes it: of one size, float32 or int32."""
    whole = stacked(x, shape) if isinstance(x, list) else x
    return np.asarray(whole, DTYPES.get(shape.dtype, np.float32))
