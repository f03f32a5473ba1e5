"""Pickles of plain things, such as data sets came in: read opcode by opcode, so that nothing in the file can run."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

MOST_AXES = 8
SYMBOLS = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "kind",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    "__builtin__ bytes": "bytes",
}


@dataclass(frozen=True)
class Symbol:
    """A name that stands in the file for one of NumPy's; it is no more than a word here."""

    word: str


@dataclass
class Made:
    """An array or a type of NumPy's, whose content comes after it in the file."""

    value: Any = None


def read_pickle(content: bytes) -> Any:
    """What a pickle of numbers, texts, lists, dictionaries and arrays of numbers holds; ValueError where it calls for more.

    Texts of Python 2 are bytes.  The protocols are 2 to 4.
    """
    try:
        return plain(Machine(content).run())
    except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"is no pickle of plain data, or cut short ({type(error).__name__})") from None


def plain(thing: Any) -> Any:
    """With arrays in their places: the thing itself, or the values of a dictionary; not deeper, where a file may be a maze."""
    if isinstance(thing, dict):
        return {key: value.value if isinstance(value, Made) else value for key, value in thing.items()}
    if isinstance(thing, Symbol):
        raise ValueError(f"is no pickle of plain data: it ends with the word {thing.word}")
    return thing.value if isinstance(thing, Made) else thing


class Machine:
    """A stack, and the few opcodes that plain data need."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            step = STEPS.get(code)
            if step is None:
                raise ValueError(f"has the opcode {code.hex()}, which plain data do not need")
            step(self)

    # --- reading ---
    def take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if count < 0 or self.at > len(self.content):
            raise ValueError("is cut short")
        return self.content[start : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.content.index(b"\n", self.at, self.at + 100)
        return self.take(end + 1 - self.at)[:-1].decode("ascii")

    # --- the stack ---
    def push(self, thing: Any) -> None:
        self.stack.append(thing)

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        things, self.stack[mark:] = self.stack[mark:], []
        return things

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("takes more than there is")
        things, self.stack[len(self.stack) - count :] = self.stack[len(self.stack) - count :], []
        return things

    def extend(self, things: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("adds to what is no list")
        self.stack[-1].extend(things)

    def update(self, things: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or not all(isinstance(key, bytes | str) for key in things[::2]):
            raise ValueError("has other keys than texts")
        self.stack[-1].update(zip(things[::2], things[1::2], strict=True))

    # --- NumPy's arrays ---
    def name(self, module: str, word: str) -> None:
        if f"{module} {word}" not in SYMBOLS:
            raise ValueError(f"wants to call {module}.{word}; that is refused")
        self.push(Symbol(SYMBOLS[f"{module} {word}"]))

    def call(self) -> None:
        symbol, given = self.pop(2)
        if symbol == Symbol("encode") and given[1] in ("latin1", b"latin1"):
            self.push(given[0].encode("latin1"))
        elif symbol == Symbol("bytes") and given == ():
            self.push(b"")
        elif symbol == Symbol("dtype"):
            kind = given[0].decode("ascii") if isinstance(given[0], bytes) else given[0]
            if not re.fullmatch("[iuf][1248]|b1", kind):
                raise ValueError(f"has an array of type {kind!r}, not of numbers")
            self.push(Made(np.dtype(kind)))
        elif symbol == Symbol("array") and given[0] == Symbol("kind"):
            self.push(Made())
        else:
            raise ValueError("calls what is no function")

    def build(self) -> None:
        state = self.pop(1)[0]
        made = self.stack[-1]
        if not isinstance(made, Made):
            raise ValueError("fills what is no array")
        if isinstance(made.value, np.dtype):
            order = state[1] if isinstance(state[1], str) else state[1].decode("ascii")
            if order not in "<>|=" or any(state[2:5]):
                raise ValueError("has an array of structures")
            made.value = made.value.newbyteorder(order)  # type: ignore[arg-type]
            return
        _, shape, dtype, column_major, content = state
        if not (isinstance(content, bytes) and isinstance(dtype.value, np.dtype) and len(shape) <= MOST_AXES):
            raise ValueError("has an array of other things than numbers")
        if min(shape, default=1) < 0 or prod(shape) * dtype.value.itemsize != len(content):
            raise ValueError(f"has an array whose {len(content):,} bytes do not fit its shape")
        flat = np.frombuffer(content, dtype.value)
        made.value = flat.reshape(shape[::-1]).T if column_major else flat.reshape(shape)


def long(machine: Machine) -> int:
    count = machine.number("B")
    if count > 8:
        raise ValueError("has a number beyond 64 bits")
    return int.from_bytes(machine.take(count), "little", signed=True)


def remember(place: Callable[[Machine], int]) -> Callable[[Machine], None]:
    return lambda machine: machine.memo.__setitem__(place(machine), machine.stack[-1])


def pushes(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.push(make(machine))


STEPS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # the protocol
    b"\x95": lambda m: m.take(8),  # a frame
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"}": pushes(lambda m: {}),
    b"]": pushes(lambda m: []),
    b")": pushes(lambda m: ()),
    b"N": pushes(lambda m: None),
    b"\x88": pushes(lambda m: True),
    b"\x89": pushes(lambda m: False),
    b"K": pushes(lambda m: m.number("B")),
    b"M": pushes(lambda m: m.number("<H")),
    b"J": pushes(lambda m: m.number("<i")),
    b"\x8a": pushes(long),
    b"G": pushes(lambda m: m.number(">d")),
    b"U": pushes(lambda m: m.take(m.number("B"))),
    b"T": pushes(lambda m: m.take(m.number("<i"))),
    b"C": pushes(lambda m: m.take(m.number("B"))),
    b"B": pushes(lambda m: m.take(m.number("<I"))),
    b"X": pushes(lambda m: m.take(m.number("<I")).decode("utf-8")),
    b"\x8c": pushes(lambda m: m.take(m.number("B")).decode("utf-8")),
    b"t": pushes(lambda m: tuple(m.since_mark())),
    b"\x85": pushes(lambda m: tuple(m.pop(1))),
    b"\x86": pushes(lambda m: tuple(m.pop(2))),
    b"\x87": pushes(lambda m: tuple(m.pop(3))),
    b"q": remember(lambda m: int(m.number("B"))),
    b"r": remember(lambda m: int(m.number("<I"))),
    b"\x94": remember(lambda m: len(m.memo)),
    b"h": pushes(lambda m: m.memo[m.number("B")]),
    b"j": pushes(lambda m: m.memo[m.number("<I")]),
    b"a": lambda m: m.extend(m.pop(1)),
    b"e": lambda m: m.extend(m.since_mark()),
    b"s": lambda m: m.update(m.pop(2)),
    b"u": lambda m: m.update(m.since_mark()),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: m.name(*m.pop(2)),
    b"R": lambda m: m.call(),
    b"b": lambda m: m.build(),
}
