"""What a source of samples is, and a step of a transform.  They themselves are in data/."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dltrain.errors import DataError
from dltrain.ops import philox
from dltrain.ops.backend import DTYPES
from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.tensor import Shape

__all__ = ["ANY_SIZE", "Draw", "Held", "Shape", "Source", "Step", "empty", "source", "transform", "varies"]

source = SOURCES.add
transform = TRANSFORMS.add

Arrays = dict[str, Any]  # field -> NumPy array, axis 0 being the sample; or a list of arrays where their sizes differ
Training = Callable[[], Iterator[Any]]  # a field of the whole training split, some hundred samples at a time

ANY_SIZE = -1  # the size of an axis that differs from sample to sample: a picture of a folder is Shape((3, ANY_SIZE, ANY_SIZE))


def varies(shape: Shape) -> bool:
    """True where samples differ in size; a transform must have made them alike before the net reads them."""
    return ANY_SIZE in shape


def empty(shape: Shape, samples: int) -> Any:
    """An array for that many samples of a field: float32, or int32 for an index."""
    return np.empty((samples, *shape), DTYPES.get(shape.dtype, np.float32))


class Source:
    """Random access to samples.  Keys of `data.source` are the fields of the dataclass.

    open()              finds the files and checks them, once, before anything else; a DataError says what is wrong and the way
                        out; sets `fields`, `splits`, and what is known of `classes` and `names`
    fields              what a sample has: name -> shape without the sample axis, and type; the first is the data; an axis whose
                        size differs from sample to sample is ANY_SIZE
    splits              the source's own splits: name -> array of indices, in order ("train" and, as it has them, "val", "test")
    classes             how many classes an integer field counts, where that is known: name -> number
    names               what people call those classes, where that is known: name -> list of words
    len                 how many samples there are, in all splits together

    and one of the two, whichever comes more natural; any thread may call it, and only the fields asked for are to be read:

    read(indices, out)      fills the arrays it is given, one row an index (memory, tables, stores)
    sample(index, wanted)   one sample, field -> array; whole numbers may stay bytes (files that are decoded one by one)
    """

    type: ClassVar[str]
    paths: ClassVar[tuple[str, ...]] = ()  # keys that name files: relative to the config, made absolute before open

    fields: dict[str, Shape]
    splits: dict[str, Any]
    classes: dict[str, int]
    names: dict[str, list[str]]
    sequences: tuple[str, ...] = ()  # fields whose first axis counts steps, filled up behind the `length` of each sample
    least: tuple[int, int] | None = None  # set by the feed: no picture needs more than this height and width; None: all there is

    def open(self) -> None:
        raise NotImplementedError

    def promised(self) -> dict[str, Shape]:
        """The fields that it will have, as far as its keys tell without any file; {} where they do not.  May set `classes`."""
        return {}

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, indices: Any, out: Arrays) -> None:
        for row, index in enumerate(indices):
            for field, value in self.sample(int(index), tuple(out)).items():
                out[field][row] = value

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        out = {field: empty(self.fields[field], 1) for field in wanted}
        self.read(np.array([index]), out)
        return {field: rows[0] for field, rows in out.items()}

    @property
    def one_by_one(self) -> bool:
        """True where samples are made one at a time: they can then be cached, skipped, and differ in size."""
        return type(self).read is Source.read

    def identify(self, index: int) -> str:
        """What a person calls the sample: a file, a row; its number where there is nothing better."""
        return str(index)

    def arrange(self, rows: Any, size: int) -> Any:
        """The order of samples (indices) that continue one another, for batches of `size`: row r of a batch goes on in row r of
        the next.  None where samples stand alone, and may be shuffled."""
        return None

    def load(self, path: Path) -> Arrays:
        """The data of one sample from a file of the user's, for dltrain predict; DataError where the source has no such files."""
        raise DataError(f"{path}: {self.type} has no files of one sample each; name a source instead, such as arrays")


class Held(Source):
    """A source whose samples are all in memory: open() sets `arrays`, field -> array, axis 0 being the sample."""

    arrays: Arrays

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def read(self, indices: Any, out: Arrays) -> None:
        for field, rows in out.items():
            rows[...] = self.arrays[field][indices]


class Unfit(DataError):
    """A step cannot take a sample: which row of the batch."""

    def __init__(self, words: str, row: int) -> None:
        super().__init__(words)
        self.row = row


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
        index, epoch = (np.asarray(words, np.uint64)[:, None] for words in (self.indices, self.epochs))
        made: Any = philox.block((index, epoch, np.arange(numbers, dtype=np.uint64), np.uint64(0)), key)[0]
        return made / 2.0**32

    def below(self, limit: int) -> Any:
        """(N) whole numbers 0 .. limit - 1."""
        return (self.uniform()[:, 0] * limit).astype(np.int64)

    def many(self, numbers: int, stream: int = 0) -> Any:
        """(N, numbers) of them in [0, 1), as many as a picture needs; another stream, other numbers."""
        key = philox.key(self.seed, self.purpose)
        index, epoch = (np.asarray(words, np.uint64)[:, None] for words in (self.indices, self.epochs))
        blocks = np.arange((numbers + 3) // 4, dtype=np.uint64)
        made = philox.block((index, epoch, np.uint64((1 << 31) + stream), blocks), key)
        return np.stack(made, axis=-1).reshape(len(index), -1)[:, :numbers] / 2.0**32


Arithmetic = tuple[Literal["subtract", "multiply", "divide"], Any]  # an operation, and float32 numbers


class Step:
    """One step of a transform of one field (`top`; the source's first where it is None): shapes first, then whole batches.

    setup(x, training)  the shape after the step (without the sample axis); `training()` gives the field of the whole training
                        split, in parts, as it arrives at this step, for what is computed once; Refusal(key, why) where it
                        cannot be.  Every field and phase has a copy of the step of its own.
    state()             what was computed (arrays by name), to be saved with a run; restore(state) sets it, and is called
                        before setup, which then computes nothing

    and one of the two, or both:

    apply(x, draw)      (N, *shape) to (N, *new shape), float32 (int32 where the field is an index); draw is None outside
                        training (no randomness there: the centre, the plain form)
    one(x, u)           one sample, *shape to *new shape, of any type of numbers; u are `numbers` numbers in [0, 1), or None
                        outside training.  Only a step that has it can take samples that differ in size.
    """

    type: ClassVar[str]
    numbers: ClassVar[int] = 0  # how many random numbers `one` takes
    moves: ClassVar[bool] = False  # moves what is in a picture: without `top`, label images of its size move with it, alike
    keeps: ClassVar[bool] = False  # makes no new numbers: bytes stay bytes
    mixes: ClassVar[bool] = False  # mixes samples: without `top`, every field that is mixed alike
    phase: Literal["train", "test"] | None
    top: str | None

    def setup(self, x: Shape, training: Training) -> Shape:
        return x

    def apply(self, x: Any, draw: Draw | None) -> Any:
        u = [None] * len(x) if draw is None else draw.uniform(self.numbers) if self.numbers else [np.empty(0)] * len(x)
        made = []
        for row, sample in enumerate(x):
            try:
                made.append(self.one(sample, u[row]))
            except DataError as error:
                raise Unfit(str(error), row) from None
        return made

    def one(self, x: Any, u: Any) -> Any:
        raise NotImplementedError

    @property
    def one_by_one(self) -> bool:
        """True where samples of different sizes can be taken."""
        return type(self).one is not Step.one

    def arithmetic(self) -> Arithmetic | None:
        """What `apply` does, where it is one such operation with float32 numbers: of NumPy, and by what."""
        return None

    def least(self) -> tuple[int, int] | None:
        """The height and width that a picture must have at least, for this step to lose nothing by more; None: all there is."""
        return None

    def state(self) -> Arrays:
        return {}

    def restore(self, state: Arrays) -> None:
        """Takes back what `state` gave."""
