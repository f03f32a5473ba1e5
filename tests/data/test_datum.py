"""Caffe's Datum: values written by hand byte for byte, and messages that lie."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.data.datum import Datum, data_ends, parse


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def written(shape: tuple[int, int, int] = (1, 1, 1), data: bytes = b"", label: int = 0, floats: Any = (), encoded: bool = False,
            packed: bool = False) -> bytes:  # fmt: skip
    """A Datum as protobuf writes it, its fields in the order of their numbers."""
    made = b"".join(varint(number << 3) + varint(size) for number, size in zip((1, 2, 3), shape))
    made += (varint(4 << 3 | 2) + varint(len(data)) + data) if data else b""
    made += varint(5 << 3) + varint(label)
    if packed:
        made += varint(6 << 3 | 2) + varint(4 * len(floats)) + struct.pack(f"<{len(floats)}f", *floats)
    else:
        made += b"".join(varint(6 << 3 | 5) + struct.pack("<f", value) for value in floats)
    return made + (b"\x38\x01" if encoded else b"")


def test_by_hand() -> None:
    datum = parse(bytes.fromhex("0801 1002 1803 2206 010203040506 28 96 01".replace(" ", "")))
    assert (datum.channels, datum.height, datum.width, datum.label, datum.encoded) == (1, 2, 3, 150, 0)
    assert datum.array().tolist() == [[[1, 2, 3], [4, 5, 6]]] and datum.array().dtype == np.uint8


def test_a_negative_label_takes_ten_bytes() -> None:
    assert parse(bytes.fromhex("28ffffffffffffffffff01")).label == -1
    assert parse(written(label=-(2**31))).label == -(2**31)


@pytest.mark.parametrize("packed", [False, True])
def test_floats(packed: bool) -> None:
    datum = parse(written((3, 1, 1), floats=[0.5, -1, 3e38], packed=packed, label=7))
    assert datum.label == 7 and datum.array().dtype == np.float32
    assert datum.array().reshape(-1).tolist() == [0.5, -1, float(np.float32(3e38))]


def test_unknown_fields_are_passed_over() -> None:
    extra = b"\x40\x05" + b"\x4a\x03abc" + b"\x51" + bytes(8) + b"\x5d" + bytes(4)  # fields 8 to 11, one of each kind
    assert parse(extra + written((1, 1, 2), b"xy", 3)).label == 3


@settings(max_examples=80, deadline=None)
@given(some.tuples(*[some.integers(1, 5)] * 3), some.integers(-(2**31), 2**31 - 1), some.booleans(), some.booleans(), some.data())
def test_any_datum(shape: tuple[int, int, int], label: int, encoded: bool, bytes_: bool, data: Any) -> None:
    count = shape[0] * shape[1] * shape[2]
    if bytes_:
        content = data.draw(some.binary(min_size=count, max_size=count))
        message = written(shape, content, label, encoded=encoded)
        start, end = data_ends(message) or (0, 0)
        datum = parse(message[end:], parse(message[:start]))
        assert datum.label == label and bool(datum.encoded) == encoded
        assert bytes(parse(message).data) == content
    else:
        numbers = data.draw(some.lists(some.floats(width=32, allow_nan=False), min_size=count, max_size=count))
        datum = parse(written(shape, label=label, floats=numbers, packed=encoded))
        assert datum.label == label and datum.array().reshape(-1).tolist() == numbers


@pytest.mark.parametrize(("message", "words"), [
    (b"\x08", "is no Datum, or is cut short"),  # a number that is not there
    (b"\x08" + b"\xff" * 10, "is no Datum"),  # one without an end
    (b"\x22\x05abc", "is no Datum"),  # 5 bytes promised
    (b"\x22" + b"\xff" * 9 + b"\x7f", "is no Datum"),  # as many as can be written
    (b"\x35\0\0", "is no Datum"),  # half a float
    (b"\x0b", "is no Datum"),  # a group, which nobody writes any more
    (b"\x51\0\0", "is no Datum"),
])  # fmt: skip
def test_messages_that_are_none(message: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(message)


@pytest.mark.parametrize(("datum", "words"), [
    (Datum(3, 2, 2, b"abc"), "says 3 x 2 x 2 and holds 3 numbers"),
    (Datum(), "says 0 x 0 x 0 and holds 0 numbers"),
    (Datum(-1, -1, 3, b"abc"), "says -1 x -1 x 3 and holds 3 numbers"),
])  # fmt: skip
def test_sizes_that_lie(datum: Datum, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        datum.array()


@settings(max_examples=200, deadline=None)
@given(some.binary(max_size=60))
def test_anything_else_is_refused_or_read(message: bytes) -> None:
    try:
        parse(message)
    except ValueError as error:
        assert str(error) == "is no Datum, or is cut short"
    data_ends(message)
