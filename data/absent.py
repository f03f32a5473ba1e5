"""What a source of files says of samples that are not here: enough to build, show and deploy a net without them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from dltrain.errors import DataError, did_you_mean
from dltrain.fields import listed
from dltrain.source import ANY_SIZE, Shape, Source

ANY = "any"


def sizes(value: Any) -> Any:
    """3, or [3, 224, 224], or [3, any, any]"""
    made = tuple(ANY_SIZE if size == ANY else size for size in listed(value))
    if any(
        not isinstance(size, int) or isinstance(size, bool) or (size < 1 and size != ANY_SIZE) for size in made
    ) or -1 in listed(value):
        raise ValueError(f"cannot be {value!r}; write sizes from 1 on, such as [3, 224, 224], or any where it differs")
    return made


_COUNT: dict[str, Any] = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": ANY}]}
_SIZES = {"anyOf": [*_COUNT["anyOf"], {"type": "array", "items": _COUNT}]}
Sizes = Annotated[tuple[int, ...], BeforeValidator(sizes), WithJsonSchema(_SIZES)]


@dataclass(kw_only=True)
class Absent(Source):
    """Files that need not be there for the net to be built.

    shapes    {data: [3, 256, 256], label: []}: each field without the batch; counts only while a file is missing
    measured  [label]: these fields are measured, and no classes, though their numbers be whole
    """

    shapes: dict[str, Sizes] = field(default_factory=dict)
    measured: list[str] = field(default_factory=list)

    def promise(self, files: Iterable[str], whole: Collection[str]) -> dict[str, Shape]:
        """The fields by `shapes`, some of them whole numbers; {} where all files are there to tell."""
        if not self.shapes or all(map(os.path.exists, files)):
            return {}
        names = sorted(self.shapes, key=lambda name: name != "data")  # as the files would have it
        return {
            name: Shape(self.shapes[name], "index" if name in whole and name not in self.measured else "float") for name in names
        }

    def check_measured(self) -> None:
        """DataError where `measured` names a field that is not there."""
        for name in self.measured:
            if name not in self.fields:
                raise DataError(f"{self.type}: measured: there is no field '{name}'; {did_you_mean(name, self.fields)}")
