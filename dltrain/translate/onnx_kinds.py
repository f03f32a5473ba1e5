"""Which numbers of a file are whole: ours are real, so what cuts fractions off there, or goes around, cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltrain.translate.onnx_graph import Differs

REAL, WHOLE, SMALL, TRUTH = "real", "whole", "small", "truth"  # small: of 8 or 16 bits
KINDS = {
    1: REAL,
    10: REAL,
    11: REAL,
    16: REAL,
    6: WHOLE,
    7: WHOLE,
    12: WHOLE,
    13: WHOLE,
    2: SMALL,
    3: SMALL,
    4: SMALL,
    5: SMALL,
    9: TRUTH,
}
TRUTHS = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or", "Xor", "IsNaN", "IsInf")
COUNTS = ("Shape", "Size", "ArgMax", "ArgMin", "NonZero")
SAID_BY = {"Where": 1, "OneHot": 2, "CastLike": 1}  # operators, and their input that has the type of the output; else the first
CUT = ("Div", "ReduceMean", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
GROWING = ("Add", "Sub", "Mul", "Neg", "Abs", "Sum", "ReduceSum", "ReduceL1", "ReduceSumSquare", "Pow", "CumSum", "Einsum")


def of_array(array: Any) -> str:
    """The kind of a constant."""
    if array.dtype.kind in "iu":
        return WHOLE if array.dtype.itemsize > 2 else SMALL
    return TRUTH if array.dtype.kind == "b" else REAL


def kind_made(op: str, to: Any, kinds: Sequence[str | None]) -> str | None:
    """The kind of what an operator makes; None where nothing tells."""
    if op == "Cast":
        return KINDS.get(to)
    if op in TRUTHS or op in COUNTS:
        return TRUTH if op in TRUTHS else WHOLE
    place = SAID_BY.get(op, 0)
    return kinds[place] if place < len(kinds) else None


def refuse(op: str, at: Any, kinds: Sequence[str | None]) -> None:
    """Differs where real numbers would not do what whole ones do."""
    kind = kinds[0] if kinds else None
    if kind not in (WHOLE, SMALL):
        return
    between = op in ("Resize", "Upsample") and at.get("mode", "nearest") != "nearest"
    if op in CUT or between or (op == "Pow" and kinds[1:] == [REAL]):
        raise Differs("of whole numbers, of which the file cuts the fractions off")
    if op in GROWING and kind == SMALL:
        raise Differs("of whole numbers of 8 or 16 bits, which go around")


def kind_known(value: Any, name: str, kinds: dict[str, str | None]) -> str | None:
    """The kind of an input."""
    return of_array(value) if isinstance(value, np.ndarray) else kinds.get(name)
