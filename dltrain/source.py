"""What a source of samples is.  The sources themselves are in data/."""

from __future__ import annotations

from typing import Any, ClassVar

from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.tensor import Shape

__all__ = ["Shape", "Source", "Step", "source", "transform"]

source = SOURCES.add
transform = TRANSFORMS.add

Arrays = dict[str, Any]  # field -> NumPy array, axis 0 being the sample


class Source:
    """Random access to samples.

    open()              finds the files and checks them, once, before anything else; a DataError says what is wrong
    splits              the names of the splits it brings, with the indices of each
    fields              what a sample has: name -> shape without the sample axis, and type; the first is the data
    len                 how many samples there are, in all splits together
    read(indices, out)  fills the arrays it is given, one row an index
    classes             how many classes an integer field counts, where that is known: name -> number
    """

    type: ClassVar[str]
    labels: ClassVar[tuple[str, ...]] = ("label",)  # fields that a deployed net does not have

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


class Step:
    """One step of a transform: shapes first, then whole batches.  Random steps act in train only.

    apply(x, where) gets float32 of (N, *shape) and where = Draw(key, epochs, indices): what it draws is a pure function of these.
    """

    type: ClassVar[str]
    phase: str | None = None

    def setup(self, x: Shape, statistics: Any) -> Shape:
        """The shape after the step; `statistics` computes things over the training split, once."""
        raise NotImplementedError

    def apply(self, x: Any, draw: Any) -> Any:
        raise NotImplementedError
