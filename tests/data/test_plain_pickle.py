"""Pickles of plain things: read as they were written, by this Python and by the old one; anything more is refused."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.data.plain_pickle import read_pickle

PLAIN = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**63), 2**63 - 1) | some.floats(allow_nan=False) | some.text() | some.binary(),
    lambda inner: some.lists(inner) | some.tuples(inner) | some.tuples(inner, inner, inner, inner) | some.dictionaries(some.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(thing=PLAIN, protocol=some.integers(2, 4))
@settings(deadline=None)
def test_plain_things_come_back(thing: Any, protocol: int) -> None:
    found = read_pickle(pickle.dumps(thing, protocol))
    assert found == thing and type(found) is type(thing)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("array", [
    np.arange(24, dtype=np.uint8).reshape(2, 12), np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    np.zeros((0, 3), np.float32), np.array(5.5), np.array([True, False]),
])  # fmt: skip
def test_arrays_come_back(array: Any, protocol: int) -> None:
    found = read_pickle(pickle.dumps({b"data": array, "n": 1}, protocol))
    assert found["n"] == 1 and np.array_equal(found[b"data"], array)
    assert found[b"data"].dtype == array.dtype and found[b"data"].shape == array.shape


def old(data: bytes, labels: list[int]) -> bytes:
    """What Python 2 wrote of {"data": an array of bytes, "labels": a list}, protocol 2, letter by letter."""
    width = len(data) // len(labels)
    dtype = (
        b"cnumpy\ndtype\nq\x05U\x02u1q\x06K\x00K\x01\x87q\x07Rq\x08(K\x03U\x01|q\tNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"M" + len(labels).to_bytes(2, "little") + b"M" + width.to_bytes(2, "little") + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01bq\x04\x87R(K\x01" + shape + dtype
    text = b"\x89T" + len(data).to_bytes(4, "little") + data
    numbers = b"]q\x0a(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\x01(U\x04data" + array + text + b"tbU\x06labels" + numbers + b"u."


def test_what_python_2_wrote() -> None:
    found = read_pickle(old(bytes(range(12)), [3, 1, 2]))
    assert found[b"labels"] == [3, 1, 2]
    assert found[b"data"].tolist() == np.arange(12).reshape(3, 4).tolist() and found[b"data"].dtype == np.uint8


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is cut short"),
    (b"\x80\x02", "is cut short"),
    (pickle.dumps([1, 2, 3], 2)[:-3], "is cut short"),
    (b"<html>", "has the opcode 3c, which plain data do not need"),
    (b"cos\nsystem\n(U\x02lstR.", "wants to call os.system; that is refused"),
    (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "wants to call builtins.eval; that is refused"),
    (pickle.dumps(OrderedDict(a=1), 2), "wants to call collections.OrderedDict; that is refused"),
    (pickle.dumps(np.array([{}], object), 2), "has an array of type 'O8', not of numbers"),
    (pickle.dumps(np.array(["a"]), 2), "has an array of type 'U1', not of numbers"),
    (pickle.dumps(np.zeros(2, "i4,f4"), 2), "has an array of type 'V8', not of numbers"),
    (pickle.dumps({1: 2}, 2), "has other keys than texts"),
    (pickle.dumps({1, 2}, 4), "has the opcode 8f, which plain data do not need"),
    (pickle.dumps(2**70, 2), "has a number beyond 64 bits"),
    (b"I1\n.", "has the opcode 49, which plain data do not need"),  # protocol 0
    (b"\x80\x02(i__builtin__\nprint\n.", "has the opcode 69, which plain data do not need"),
    (b"P1\n.", "has the opcode 50, which plain data do not need"),
    (b"T\xff\xff\xff\xff.", "is cut short"),  # a text of -1 letters
    (b"B\xff\xff\xff\xff.", "is cut short"),  # a text of 4 GB
    (b"K\x01K\x02R.", "calls what is no function"),
    (b"K\x01K\x02b.", "fills what is no array"),
    (b"K\x01K\x02a.", "adds to what is no list"),
    (b"cnumpy\ndtype\n.", "is no pickle of plain data: it ends with the word dtype"),
    (b"K\x01\x87.", "takes more than there is"),
    (b"h\x09.", "is no pickle of plain data, or cut short (KeyError)"),
    (b"e.", "is no pickle of plain data, or cut short (IndexError)"),
    (old(bytes(12), [1, 2, 3]).replace(b"M\x04\x00", b"M\x05\x00"), "has an array whose 12 bytes do not fit its shape"),
    (old(bytes(12), [1, 2, 3]).replace(b"U\x01|", b"U\x01!"), "has an array of structures"),
])  # fmt: skip
def test_anything_more_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        read_pickle(content)


def test_circles_and_mazes_do_no_harm() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert len(read_pickle(pickle.dumps(circle, 2))) == 1
    maze: list[Any] = []
    for _ in range(60):
        maze = [maze, maze]
    assert len(read_pickle(pickle.dumps({"a": maze}, 2))["a"]) == 2


@given(content=some.binary(max_size=60), at=some.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_a_damaged_pickle_is_plain_or_refused(content: bytes, at: int) -> None:
    good = old(bytes(range(200)), [3, 1, 2, 4, 5])
    try:
        read_pickle(good[:at] + content + good[at + len(content) :])
    except ValueError as error:
        assert str(error)
