"""A Message written as protobuf's wire format: fields by their number, numbers packed where the schema packs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dltrain.caffe.message import Message
from dltrain.caffe.schema import ENUMS, MESSAGES, Field
from dltrain.errors import DataError

VARINT, EIGHT, COUNTED, FOUR = 0, 1, 2, 5
FLOATS = {"float": ("<f4", FOUR), "double": ("<f8", EIGHT)}
LARGEST = 2**31 - 1  # bytes that protobuf, and so Caffe, reads of one file


def write_wire(message: Message) -> bytes:
    """The bytes of a message; DataError where a field is none of Caffe's, or the whole too large for Caffe to read."""
    pieces = list(encoded(message))
    if sum(map(len, pieces)) > LARGEST:
        raise DataError(f"a {message.kind} of more than 2 GB cannot be read by Caffe; write HDF5 (.h5) instead")
    return b"".join(pieces)


def encoded(message: Message) -> Iterator[Any]:
    known = MESSAGES[message.kind]
    strange = [name for name in message.fields if name not in known]
    if strange:
        raise DataError(f"'{strange[0]}' is no field of Caffe's {message.kind}; a binary file cannot hold it")
    for name, told in sorted(known.items(), key=lambda entry: entry[1].number):
        values = message.fields.get(name, [])
        if told.packed and values:
            yield from counted(told.number, list(packed(values, told)))
            continue
        for value in values:
            yield from field(value, told)


def field(value: Any, told: Field) -> Iterator[Any]:
    """A value, or the values of an array, each behind its tag."""
    if isinstance(value, Message):
        yield from counted(told.number, list(encoded(value)))
    elif isinstance(value, np.ndarray):
        for each in value.reshape(-1):
            yield from field(each, told)
    elif told.type in ("string", "bytes"):
        yield from counted(told.number, [value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")])
    else:
        yield varint(told.number << 3 | FLOATS.get(told.type, ("", VARINT))[1])
        yield from packed([value], told)


def packed(values: list[Any], told: Field) -> Iterator[Any]:
    """Numbers one after another, without tags."""
    if told.type in FLOATS:
        with np.errstate(over="ignore"):
            for value in values:
                yield np.ascontiguousarray(value, FLOATS[told.type][0]).reshape(-1).view(np.uint8).data
        return
    for value in values:
        for each in value.reshape(-1) if isinstance(value, np.ndarray) else (value,):
            number = ENUMS[told.type].get(each) if told.is_enum else None
            yield varint(int(each) if number is None else number)


def counted(number: int, pieces: list[Any]) -> Iterator[Any]:
    """Bytes behind their tag and their length."""
    yield varint(number << 3 | COUNTED) + varint(sum(map(len, pieces)))
    yield from pieces


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as its 64 bits."""
    value &= 0xFFFFFFFFFFFFFFFF
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
