"""Handles: what a layer works on while it is traced.  They have a name, a shape and a type, but no memory yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

DType = Literal["float", "index", "double", "byte"]  # float is the engine's; index int32; double float64; byte uint8
Home = Literal["arena", "input", "param", "param_grad", "slot", "state", "scalar", "tally"]


class Shape(tuple[int, ...]):
    """Sizes, axis 0 being the sample, and the type of the elements."""

    dtype: DType

    def __new__(cls, sizes: Iterable[int], dtype: DType = "float") -> Shape:
        made = super().__new__(cls, sizes)
        made.dtype = dtype
        return made

    @property
    def count(self) -> int:  # type: ignore[override]
        return prod(self)

    def __str__(self) -> str:
        return " x ".join(str(size) for size in self) or "one number"


@dataclass(eq=False)
class Tensor:
    """One array of a graph, and where its memory will come from."""

    name: str
    shape: Shape
    home: Home = "arena"
    within: tuple[Tensor, int] | None = None  # a part of a flat array: which, and from which element on

    @property
    def dtype(self) -> DType:
        return self.shape.dtype

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(map(str, self.shape))}]"


@dataclass(eq=False)
class Picked:
    """Rows of a table that stays what it is: a device may keep the table, and is then sent the numbers only."""

    table: Any
    rows: Any  # int32

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.table.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        made = self.table[self.rows]
        return made if dtype is None else made.astype(dtype, copy=False)


@dataclass(eq=False)
class Raw:
    """Bytes before the last arithmetic of their way to the net: a device may be sent these, a quarter of the numbers, and do it.

    `steps` are (operation, float32 number or numbers): one for all, one a channel (C, 1, …), or one a place.
    """

    values: Any  # uint8
    steps: tuple[tuple[Literal["subtract", "multiply", "divide"], Any], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        made = self.values
        for operation, by in self.steps:
            made = getattr(np, operation)(made, by)
        return np.asarray(made, np.float32 if dtype is None else dtype)


@dataclass(eq=False)
class Blob:
    """What flows between layers: values, and the gradient of the loss by them (None where nobody wants it)."""

    data: Tensor
    grad: Tensor | None = None

    @property
    def shape(self) -> Shape:
        return self.data.shape

    @property
    def wants_grad(self) -> bool:
        return self.grad is not None


@dataclass(eq=False)
class Param(Blob):
    """A learnable array of a layer.  Its gradient is added to, never overwritten; None where it is frozen."""
