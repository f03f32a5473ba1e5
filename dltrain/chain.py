"""The steps of a transform, one after another, from what a source gives to what the net reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from dltrain.errors import DataError, Refusal
from dltrain.ops import philox
from dltrain.ops.backend import DTYPES
from dltrain.reader import stacked
from dltrain.source import ANY_SIZE, Arrays, Draw, Shape, Step, Unfit, empty, varies
from dltrain.tensor import Raw

Part = Literal["train", "test"]
Unmade = Callable[[list["Link"], str], Iterator[Any]]  # a field of the training split after some links, in parts


key = lru_cache(maxsize=256)(philox.key)


@dataclass(frozen=True)
class Drawn(Draw):
    """Randomness of which the first numbers are known: (N) each."""

    known: list[Any]

    def uniform(self, numbers: int = 1) -> Any:
        return np.stack(self.known[:numbers], axis=1) if 0 < numbers <= len(self.known) else super().uniform(numbers)


class Parted(Step):
    """A step that need not make more of a picture than the next step takes of it.

    fitted(height, width)    the height and width after the step
    parts(x, corners, y)     y[n], of one size, is the part of apply(x)[n] from its upper left corner, corners[n], on
    """

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        raise NotImplementedError

    def parts(self, x: Any, corners: Any, y: Any) -> None:
        raise NotImplementedError


class Cutting(Step):
    """A step that takes a part of each picture, as it is: corners(sizes, draw) are its upper left corners, sizes (N, 2)."""

    def corners(self, sizes: Any, draw: Draw | None) -> Any:
        raise NotImplementedError


class InPlace(Step):
    """A step that can also be done where the pictures lie."""

    def change(self, x: Any, draw: Draw | None) -> None:
        raise NotImplementedError


@dataclass
class Link:
    """A step for one field, with the shape that it makes."""

    number: int
    top: str
    step: Step
    made: Shape
    flat: bool = False  # a label image H x W, which the step sees as 1 x H x W
    small: bool = False  # bytes may stay bytes

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
        return stacked(y, self.made, self.small) if isinstance(y, list) and not varies(self.made) else y

    def own(self, x: Any, draw: Draw | None) -> Any:
        """As `apply`, of an array that nobody else has."""
        alone = isinstance(x, np.ndarray) and x.flags.c_contiguous and x.flags.writeable
        if not (alone and isinstance(self.step, InPlace)) or self.flat:
            return self.apply(x, draw)
        self.step.change(x, draw)
        return x

    def feeds(self, after: Link) -> bool:
        """True where no more of this step's pictures need be made than the next step takes."""
        return isinstance(self.step, Parted) and isinstance(after.step, Cutting) and not self.flat

    def part(self, after: Link, x: Any, draw: Draw | None) -> Any:
        """The field after this step and the next, whose draw it is."""
        assert isinstance(self.step, Parted) and isinstance(after.step, Cutting)
        if isinstance(x, list):
            sizes = np.array([self.step.fitted(*sample.shape[1:]) for sample in x])
        else:
            sizes = np.tile(self.step.fitted(*x.shape[2:]), (len(x), 1))
        corners = after.step.corners(sizes, draw)
        y = empty(after.made, len(x))
        self.step.parts(x, corners, y)
        return y


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
        self.raw = False  # whether bytes may be left for a device to make numbers of
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
                sizes = str(shape).replace(str(ANY_SIZE), "any")
                raise Refusal("", f"samples of '{name}' differ in size ({sizes}); end with resize, crop or pad")

    def run(self, batch: Arrays, seed: int, indices: Any, epochs: Any = None, draws: Any = None) -> Arrays:
        """A batch through every step; with `epochs` it is a training batch, and random steps draw (from `draws`, where given)."""
        draws = draws or self.draws(seed, indices, epochs)
        left = list(self.links)
        if self.raw:
            for top in self.fields:
                self.spare(batch, top, left)
        while left:
            link = left.pop(0)
            after = next((other for other in left if other.top == link.top), None)
            try:
                if after is not None and link.feeds(after):
                    left.remove(after)
                    batch[link.top] = link.part(after, batch[link.top], draws[after.number])
                else:
                    batch[link.top] = link.own(batch[link.top], draws[link.number])
            except Unfit as error:
                raise DataError(f"{self.identify(int(indices[error.row]))}: {error}") from None
            if self.raw:
                self.spare(batch, link.top, left)
        return {name: arrayed(batch[name], self.fields[name]) for name in self.fields if name in batch}

    def keeps(self, top: str) -> bool:
        """True where a field of bytes is bytes until nothing but arithmetic is left."""
        steps = [link.step for link in self.links if link.top == top]
        return self.fields[top].dtype == "float" and all(step.keeps or step.arithmetic() for step in steps)

    def leave_raw(self, fields: set[str]) -> None:
        """From now on these fields are left bytes, for a device to do the arithmetic."""
        self.raw = True
        for link in self.links:
            link.small = link.top in fields

    def spare(self, batch: Arrays, top: str, left: list[Link]) -> None:
        """Leaves a field of bytes as it is where nothing but arithmetic is left to do with it."""
        x, rest = batch.get(top), [link for link in left if link.top == top]
        bytes_ = isinstance(x, np.ndarray) and x.dtype == np.uint8 and self.fields[top].dtype == "float"
        steps = [link.step.arithmetic() for link in rest if not link.flat]
        if bytes_ and len(steps) == len(rest) and None not in [step and step[0] for step in steps]:
            batch[top] = Raw(x, tuple(steps))  # type: ignore[arg-type]
            left[:] = [link for link in left if link.top != top]

    def draws(self, seed: int, indices: Any, epochs: Any) -> dict[int, Draw | None]:
        """The randomness of each step for one batch, by the number of the step; the numbers of all steps are drawn at once."""
        steps = {link.number: link.step for link in self.links}
        if epochs is None:
            return dict.fromkeys(steps)
        purposes = {number: f"transform {number} {step.type}" for number, step in steps.items()}
        asked = [(at, n) for at, step in steps.items() for n in range(step.numbers)]
        if asked:
            from dltrain.ops.cpu.uniform import uniform

            made = uniform(indices, epochs, [key(seed, purposes[at]) for at, _ in asked], [n for _, n in asked])
        rows = iter(made if asked else ())
        return {at: Drawn(seed, purposes[at], epochs, indices, [next(rows) for _ in range(step.numbers)])
                for at, step in steps.items()}  # fmt: skip


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
    """As the net takes it: of one size, float32 or int32; or bytes that are not yet so."""
    if isinstance(x, Raw):
        return x
    whole = stacked(x, shape) if isinstance(x, list) else x
    return np.asarray(whole, DTYPES.get(shape.dtype, np.float32))
