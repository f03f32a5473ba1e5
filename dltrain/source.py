"""What a source of samples is, and a step of a transform.  They themselves are in data/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from dltrain.ops import philox
from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.tensor import Shape

__all__ = ["Draw", "Shape", "Source", "Step", "source", "transform"]

source = SOURCES.add
transform = TRANSFORMS.add

Arrays = dict[str, Any]  # field -> NumPy array, axis 0 being the sample


class Source:
    """Random access to samples.  Keys of `data.source` are the fields of the dataclass.

    open()              finds the files and checks them, once, before anything else; a DataError says what is wrong and the way
                        out; sets `fields`, `splits`, `classes`
    fields              what a sample has: name -> shape without the sample axis, and type; the first is the data
    splits              the source's own splits: name -> array of indices, in order ("train" and, as it has them, "val", "test")
    classes             how many classes an integer field counts, where that is known: name -> number
    len                 how many samples there are, in all splits together
    read(indices, out)  fills the arrays it is given, one row an index; any thread may call it
    """

    type: ClassVar[str]
    paths: ClassVar[tuple[str, ...]] = ()  # keys that name files: relative to the config, made absolute before open

    fields: dict[str, Shape]
    splits: dict[str, Any]
    classes: dict[str, int]

    def open(self) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, indices: Any, out: Arrays) -> None:
        raise NotImplementedError

    def identify(self, index: int) -> str:
        """What a person calls the sample: a file, a row; its number where there is nothing better."""
        return str(index)


@dataclass(frozen=True)
class Draw:
    """The randomness of one batch: for each sample a pure function of (seed, purpose, epoch, index), whoever asks and when."""

    seed: int
    purpose: str
    epochs: Any  # (N)
    indices: Any  # (N)

    def uniform(self, numbers: int = 1) -> Any:
        """(N, numbers) numbers in [0, 1)."""
        key = philox.key(self.seed, self.purpose)
        index, epoch = np.asarray(self.indices, np.uint64), np.asarray(self.epochs, np.uint64)
        made = [philox.block((index, epoch, np.uint64(n), np.uint64(0)), key)[0] for n in range(numbers)]
        return np.stack(made, axis=1) / 2.0**32

    def below(self, limit: int) -> Any:
        """(N) whole numbers 0 .. limit - 1."""
        return (self.uniform()[:, 0] * limit).astype(np.int64)


class Step:
    """One step of a transform of one field (`top`; the source's first where it is None): shapes first, then whole batches.

    setup(x, training)  the shape after the step (without the sample axis); `training()` gives the field of the whole training
                        split as it arrives at this step, for what is computed once; Refusal(key, why) where it cannot be
    apply(x, draw)      float32 of (N, *shape) to float32 of (N, *new shape); draw is None outside training (no randomness
                        there: the centre, the plain form)
    state()             what was computed (arrays by name), to be saved with a run; restore(state) sets it, and is called
                        before setup, which then computes nothing
    """

    type: ClassVar[str]
    phase: Literal["train", "test"] | None
    top: str | None

    def setup(self, x: Shape, training: Callable[[], Any]) -> Shape:
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        raise NotImplementedError

    def state(self) -> Arrays:
        return {}

    def restore(self, state: Arrays) -> None:
        """Takes back what `state` gave."""
