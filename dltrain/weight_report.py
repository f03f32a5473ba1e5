"""dltrain weights show and diff: what is in a file of weights, and in what two of them differ."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np

from dltrain.console import Console
from dltrain.errors import CheckFailed
from dltrain.table import size
from dltrain.tensor import Shape
from dltrain.weight_convert import file_of
from dltrain.weight_files import read
from dltrain.weight_names import Arrays, layer_of, part_of
from dltrain.weights import fits

HEADS = ("layer", "array", "shape", "type", "min", "mean", "max", "std", "L2", "not finite")
LEFT = 2  # so many columns are words


@dataclass
class Row:
    """One array: the figures are of its finite numbers; std is the root of the mean square distance from their mean."""

    layer: str
    array: str
    shape: tuple[int, ...]
    dtype: str
    min: float | None
    mean: float | None
    max: float | None
    std: float | None
    l2: float | None
    not_finite: int

    @classmethod
    def of(cls, name: str, array: Any) -> Row:
        x = np.asarray(array, np.float64).reshape(-1)
        x = x[np.isfinite(x)]
        some = (x.min(), x.mean(), x.max(), x.std(), sqrt(float(x @ x))) if len(x) else (None,) * 5
        low, mean, high, std, l2 = (None if one is None else float(one) for one in some)
        lost = array.size - len(x)
        return cls(layer_of(name), part_of(name), tuple(array.shape), str(array.dtype), low, mean, high, std, l2, lost)

    def cells(self) -> tuple[str, ...]:
        figures = ("" if one is None else f"{one:.4g}" for one in (self.min, self.mean, self.max, self.std, self.l2))
        return (
            self.layer,
            self.array,
            str(Shape(self.shape)),
            self.dtype,
            *figures,
            f"{self.not_finite:,}" * bool(self.not_finite),
        )


def show(source: str, console: Console) -> None:
    """dltrain weights show FILE|RUN"""
    path = file_of(source)
    arrays = read(path)
    rows = [Row.of(name, array) for name, array in arrays.items()]
    learnt = sum(array.size for name, array in arrays.items() if name.startswith("data/"))
    held = sum(array.size for array in arrays.values()) - learnt
    lost = sum(row.not_finite for row in rows)
    layers = len(dict.fromkeys(row.layer for row in rows))
    sums = {"file": str(path), "layers": layers, "parameters": learnt, "statistics": held, "not_finite": lost,
            "bytes": sum(array.nbytes for array in arrays.values())}  # fmt: skip
    words = f"{path}: {layers} layers, {learnt:,} parameters, {held:,} statistics, {size(sums['bytes'])}"
    words += f", {lost:,} of them not finite" if lost else ""
    console.result({**sums, "arrays": [vars(row) for row in rows]}, f"{table([HEADS, *(row.cells() for row in rows)])}\n{words}")


def table(rows: list[tuple[str, ...]], left: int = LEFT) -> str:
    """Columns of words to the left, of numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{word:<{w}}" if column < left else f"{word:>{w}}" for column, (word, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def difference(a: Any, b: Any) -> tuple[float, float]:
    """max |a - b|, and |a - b| / |a| (both 0 where nothing differs).  NaN is equal to NaN, and infinitely far from a number."""
    x, y = (np.asarray(one, np.float64).reshape(-1) for one in (a, b))
    with np.errstate(invalid="ignore"):
        apart = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
    apart[np.isnan(apart)] = np.inf
    largest = float(apart.max(initial=0.0))
    if not np.isfinite(largest):
        return largest, largest
    length = sqrt(float(np.square(x[np.isfinite(x)]).sum()))
    return largest, sqrt(float(apart @ apart)) / length if length else inf if largest else 0.0


def diff(first: str, second: str, console: Console) -> None:
    """dltrain weights diff A B; CheckFailed where they differ."""
    one, other = (read(file_of(source)) for source in (first, second))
    rows, equal = compared(one, other)
    missing, extra = ([name for name in a if name not in b] for a, b in ((one, other), (other, one)))
    told: list[tuple[str, ...]] = [("layer", "array", "largest difference", "relative L2", "")]
    told += [(row["layer"], row["array"], figure(row["max_abs"]), figure(row["relative_l2"]), row["words"]) for row in rows]
    told += [(layer_of(name), part_of(name), "", "", f"only in {first}") for name in missing]
    told += [(layer_of(name), part_of(name), "", "", f"only in {second}") for name in extra]
    alike = len(told) == 1
    words = f"equal: {equal} arrays" if alike else f"{table(told)}\n{equal} arrays are equal, {len(told) - 1} are not"
    made = {"equal": alike, "same": equal, "different": rows, "missing": missing, "extra": extra}
    console.result(made, words)
    if not alike:
        raise CheckFailed(f"{first} and {second} differ in {len(told) - 1} of {equal + len(told) - 1} arrays")


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def compared(one: Arrays, other: Arrays) -> tuple[list[dict[str, Any]], int]:
    """The arrays of both that differ, and how many do not; shapes may be those that `fits` allows."""
    rows: list[dict[str, Any]] = []
    common = [name for name in one if name in other]
    for name in common:
        a, b = one[name], other[name]
        row: dict[str, Any] = {"layer": layer_of(name), "array": part_of(name), "max_abs": None, "relative_l2": None, "words": ""}
        if not fits(a.shape, b.shape) and not fits(b.shape, a.shape):
            rows.append({**row, "words": f"{Shape(a.shape)} and {Shape(b.shape)}"})
            continue
        largest, relative = difference(a, b)
        if largest:
            words = "" if isfinite(largest) else "a number here is none there"
            figures = (one if isfinite(one) else None for one in (largest, relative))  # JSON knows no infinity
            rows.append({**row, **dict(zip(("max_abs", "relative_l2"), figures)), "words": words})
    return rows, len(common) - len(rows)
