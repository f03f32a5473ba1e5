"""The types that keys of a config may have, with their bounds and conversions."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, Field, SkipValidation, WithJsonSchema

Count = Annotated[int, Field(ge=1)]  # 1, 2, 3 …
Natural = Annotated[int, Field(ge=0)]  # 0, 1, 2 …
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]  # a part of a whole
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=200)]
LinePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=400)]  # of a line: stage2/1/conv1


def listed(value: Any) -> Any:
    """A bare value where a list may stand is a list of one; lists become tuples."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def some(value: Any) -> Any:
    """As `listed`, but an empty list is refused."""
    if value == []:
        raise ValueError("must not be empty")
    return listed(value)


def _per_axis(low: int) -> Any:
    items: Any = Annotated[int, Field(ge=low)]
    one = {"type": "integer", "minimum": low}
    schema = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    return Annotated[tuple[items, ...], BeforeValidator(some), WithJsonSchema(schema)]


PerAxis = _per_axis(1)  # one number for all spatial axes, or a list, one each: kernel_size, stride, dilation
PerAxisFromZero = _per_axis(0)  # pad


def spread(values: tuple[int, ...], axes: int) -> tuple[int, ...] | None:
    """One number a spatial axis: (3,) over 2 axes is (3, 3); None where the count does not fit."""
    if len(values) == 1:
        return values * axes
    return values if len(values) == axes else None


def one_or_more(item: dict[str, Any]) -> WithJsonSchema:
    """The schema of what may stand bare or as a list."""
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


@dataclass(frozen=True)
class Chosen:
    """Marks a field whose value is chosen by name from a registry: {type: X, its keys}, or bare X."""

    registry: str
    many: bool = False


def chosen(registry: str, many: bool = False) -> Any:
    return Annotated[SkipValidation[Any], Chosen(registry, many)]  # type: ignore[misc]


@dataclass(frozen=True)
class Moving:
    """Marks a number of a solver, from 0 on, that may change in time: in its place a policy may stand, with the key `base`."""

    below: float | None = None

    def holds(self, value: float) -> bool:
        return 0 <= value < (float("inf") if self.below is None else self.below)

    @property
    def base(self) -> Any:
        """The type of the number that the policy starts from."""
        return Annotated[float, Field(ge=0, lt=self.below, allow_inf_nan=False)]


MovingShare = Annotated[Share, Moving(1.0)]
MovingNonNegative = Annotated[NonNegative, Moving()]


@cache
def moving(cls: type) -> dict[str, Moving]:
    """The fields of a class in whose place a policy may stand."""
    hints = get_type_hints(cls, include_extras=True)
    marks = {each.name: getattr(hints[each.name], "__metadata__", ()) for each in fields(cls)}
    return {name: mark for name, found in marks.items() for mark in found if isinstance(mark, Moving)}


UNITS = {
    "": "iterations", "iteration": "iterations", "iterations": "iterations", "epoch": "epochs", "epochs": "epochs",
    "s": "seconds", "min": "minutes", "h": "hours",
}  # fmt: skip
SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}


@dataclass(frozen=True)
class Span:
    """A length of training: 500 (iterations), "3 epochs", "20 min"."""

    amount: float
    unit: Literal["iterations", "epochs", "seconds"] = "iterations"

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"

    def iterations(self, per_epoch: Fraction) -> int:
        """In iterations, at `per_epoch` of them an epoch; an epoch ends at the first iteration that completes it."""
        return max(1, ceil(self.length(per_epoch)))

    def length(self, per_epoch: Fraction) -> Fraction:
        """In iterations, exactly: an epoch is rarely a whole number of them."""
        if self.unit == "seconds":
            raise ValueError("a time has no length in iterations")
        return Fraction(self.amount).limit_denominator(10**6) * (per_epoch if self.unit == "epochs" else 1)

    def due(self, iteration: int, per_epoch: Fraction) -> bool:
        """True where a whole number of these spans has been completed by this iteration and not by the one before."""
        length = self.length(per_epoch)
        return iteration // length > (iteration - 1) // length

    def next(self, iteration: int, per_epoch: Fraction) -> int:
        """The first iteration after this one that it is due at."""
        length = self.length(per_epoch)
        return max(iteration + 1, ceil((iteration // length + 1) * length))


def span(value: Any) -> Any:
    """500, "5 epochs" or "20 min" as a Span."""
    if isinstance(value, Span):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number of iterations, or a text like 3 epochs, 20 min")
    match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?)\s*([a-z]*)\s*", str(value))
    if not match or match[2] not in UNITS:
        raise ValueError(f"cannot be {value!r}; write 500 (iterations), 3 epochs, 20 min or 2 h")
    amount, unit = float(match[1]), UNITS[match[2]]
    if amount < 1e-6 or amount == float("inf"):
        raise ValueError("must be greater than 0; null switches it off")
    if unit in SECONDS:
        return Span(amount * SECONDS[unit], "seconds")
    if unit == "iterations" and amount != int(amount):
        raise ValueError("counts whole iterations; write 500, or 0.5 epochs")
    return Span(amount, unit)  # type: ignore[arg-type]


_TIME = r"^ *[0-9]+\.?[0-9]*([eE][+-]?[0-9]+)? *(iterations?|epochs?|s|min|h)? *$"
_SPAN = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _TIME}]}
Interval = Annotated[Span, BeforeValidator(span), WithJsonSchema(_SPAN)]


def bare(key: str) -> BeforeValidator:
    """A section with one main value takes it bare: `snapshot: 5 epochs` is {interval: 5 epochs}."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, int | float | str) else value)
