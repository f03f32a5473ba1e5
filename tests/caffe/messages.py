"""Messages of any content, for the tests of Caffe's formats, and what two messages have in common."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as some

from dltrain.caffe.message import Message
from dltrain.caffe.schema import ENUMS, MESSAGES, WHOLE, Field

FLOAT32 = some.floats(width=32, allow_nan=False).map(lambda number: float(str(np.float32(number))))
TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=8)


def values(told: Field, depth: int) -> some.SearchStrategy[Any]:
    """Values of a field."""
    if told.is_message:
        return messages(told.type, depth - 1)
    if told.is_enum:
        return some.sampled_from(sorted(ENUMS[told.type]))
    if told.type in WHOLE:
        return some.integers(*WHOLE[told.type])
    return {
        "bool": some.booleans(), "float": FLOAT32, "double": some.floats(allow_nan=False), "string": TEXT,
        "bytes": some.binary(max_size=8),
    }[told.type]  # fmt: skip


@some.composite
def messages(draw: Any, kind: str, depth: int = 3) -> Message:
    """A message of a kind, up to so many deep."""
    made = Message(kind)
    known = {name: told for name, told in MESSAGES[kind].items() if depth or not told.is_message}
    for name in draw(some.lists(some.sampled_from(sorted(known)), max_size=4, unique=True)) if known else ():
        most = 3 if known[name].repeated else 1
        for value in draw(some.lists(values(known[name], depth), min_size=1, max_size=most)):
            made.add(name, value)
    return made


def plain(value: Any) -> Any:
    """A message as a dictionary of lists, whatever its lines and whether its numbers lie in arrays."""
    if not isinstance(value, Message):
        return value
    return {name: [plain(each) for entry in entries for each in (entry.tolist() if isinstance(entry, np.ndarray) else [entry])]
            for name, entries in value.fields.items()}  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal, where nan equals nan and an array's float32 equals the shortest decimal that means it."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other or np.float32(one) == np.float32(other) or (math.isnan(one) and math.isnan(other))
    return bool(one == other) and type(one) is type(other)
