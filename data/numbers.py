"""Numbers from the cells of a table: quickly where all cells of many are plain numbers, one by one where some are not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


@dataclass
class Numbers:
    """values (NaN where a cell is missing), which are missing (None: none is), and the places of cells that are no numbers."""

    values: Any
    absent: Any = None
    wrong: list[int] = field(default_factory=list)


def numbers(cells: list[str], missing: frozenset[str]) -> Numbers:
    """Cells as float64.  `missing` are the words, in lower case, that stand for no value."""
    text = "".join(cells)
    if "_" not in text and text.isascii() and missing.isdisjoint(cells):  # float() would take 1_000 and digits of any script
        try:
            values = np.array(list(map(float, cells)))
        except ValueError:
            pass
        else:
            if np.isfinite(values).all():
                return Numbers(values)
    return one_by_one(cells, missing)


def one_by_one(cells: list[str], missing: frozenset[str]) -> Numbers:
    values, absent, wrong = np.full(len(cells), np.nan), np.zeros(len(cells), bool), []
    for place, cell in enumerate(cells):
        text = cell.strip()
        if text.lower() in missing:
            absent[place] = True
        elif NUMBER.fullmatch(text) and np.isfinite(value := float(text)):
            values[place] = value
        else:
            wrong.append(place)
    return Numbers(values, absent if absent.any() else None, wrong)


def smallest(values: Any) -> Any:
    """Numbers in the smallest of int32, float32 and float64 that holds them exactly; NaN stays NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        for kind in (np.int32, np.float32):
            small = values.astype(kind)
            if np.array_equal(small, values, equal_nan=True):
                return small
    return values
