"""Caffe's Datum, the message in which its databases keep a sample: read by hand, every length held against what is there."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

CHANNELS, HEIGHT, WIDTH, DATA, LABEL, FLOATS, ENCODED = range(1, 8)  # the numbers of its fields
VARINT, EIGHT, COUNTED, FOUR = 0, 1, 2, 5  # how a field is written
ONE_FLOAT = FLOATS << 3 | FOUR  # the byte before each number of float_data
NAMES = {CHANNELS: "channels", HEIGHT: "height", WIDTH: "width", LABEL: "label", ENCODED: "encoded"}


@dataclass
class Datum:
    """channels, height, width   of a picture, or channels alone of a vector
    data        its bytes, or (encoded) those of a JPEG or PNG file
    floats      its numbers, where they are no bytes
    label       a whole number
    """

    channels: int = 0
    height: int = 0
    width: int = 0
    data: bytes | memoryview = b""
    label: int = 0
    floats: Any = None
    encoded: int = 0

    def array(self) -> Any:
        """channels x height x width, bytes or float32, of a Datum that is not encoded; ValueError where its sizes disagree."""
        shape = (self.channels, self.height, self.width)
        flat = self.floats if self.floats is not None and not len(self.data) else np.frombuffer(self.data, np.uint8)
        if min(shape) < 1 or prod(shape) != len(flat):
            raise ValueError(f"says {' x '.join(map(str, shape))} and holds {len(flat):,} numbers")
        return flat.reshape(shape)


def parse(blob: bytes, into: Datum | None = None) -> Datum:
    """Reads the fields of a message; ValueError where it is none."""
    datum, at, floats = into or Datum(), 0, []
    while at < len(blob):
        if blob[at] == ONE_FLOAT:
            run, at = float_run(blob, at)
            floats.append(run)
            continue
        tag, at = varint(blob, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = varint(blob, at)
            if number in NAMES:
                setattr(datum, NAMES[number], signed(value))
        else:
            size, at = varint(blob, at) if kind == COUNTED else ({FOUR: 4, EIGHT: 8}.get(kind, len(blob) + 1), at)
            if at + size > len(blob):
                raise ValueError("is no Datum, or is cut short")
            if number == DATA and kind == COUNTED:
                datum.data = memoryview(blob)[at : at + size]
            elif number == FLOATS and kind == COUNTED and size % 4 == 0:
                floats.append(np.frombuffer(blob, "<f4", size // 4, at))
            at += size
    if floats:
        datum.floats = np.concatenate(floats).astype(np.float32)
    return datum


def data_ends(head: bytes) -> tuple[int, int] | None:
    """Where the field `data` begins and ends in a message, from its first bytes; None where it is not among them."""
    at = 0
    try:
        while at < len(head):
            start = at
            tag, at = varint(head, at)
            if tag == DATA << 3 | COUNTED:
                size, at = varint(head, at)
                return start, at + size
            if tag & 7 != VARINT:
                return None
            _, at = varint(head, at)
    except ValueError:
        pass
    return None


def varint(blob: bytes, at: int) -> tuple[int, int]:
    """(the number, where it ends): seven bits a byte, the lowest first, the eighth telling that more follow."""
    value = 0
    for shift, byte in zip(range(0, 70, 7), blob[at : at + 10]):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise ValueError("is no Datum, or is cut short")


def signed(value: int) -> int:
    """As a 32-bit whole number: a negative one is written with 64 bits."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


def float_run(blob: bytes, at: int) -> tuple[Any, int]:
    """The numbers of float_data that follow one another, each behind a byte of its own."""
    rows = np.frombuffer(blob, np.uint8, (len(blob) - at) // 5 * 5, at).reshape(-1, 5)
    others = np.flatnonzero(rows[:, 0] != ONE_FLOAT)
    count = int(others[0]) if len(others) else len(rows)
    if count == 0:
        raise ValueError("is no Datum, or is cut short")
    return rows[:count, 1:].copy().view("<f4")[:, 0], at + 5 * count
