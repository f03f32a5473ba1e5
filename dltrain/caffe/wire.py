"""Caffe's binary files (protobuf's wire format) read by our own schema: mapped, not copied, and never trusted.

tag = number << 3 | form      forms: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes (3 and 4, groups, are refused)

Floats that the schema packs become one array over the bytes of the file; nothing else takes more than a few hundred bytes
for each of at most MOST values, so a file of lies costs no more memory than its size and a bound.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dltrain.caffe.encode import write_wire
from dltrain.caffe.message import Message
from dltrain.caffe.schema import MESSAGES, NAMES, NUMBERS, Field
from dltrain.errors import DataError

__all__ = ["parse_wire", "read_wire", "write_wire"]

VARINT, EIGHT, COUNTED, FOUR = 0, 1, 2, 5
WIDTH = {EIGHT: 8, FOUR: 4}
FLOATS = {"float": ("<f4", FOUR), "double": ("<f8", EIGHT)}
MOST = 1_000_000  # messages and values
MOST_PIECES = 1000  # messages that are put into earlier ones: each costs a look at all that is there
MOST_UNKNOWN = 32  # numbers of a message that are kept without being known
FOREIGN = {
    b"<": "is a page of HTML or XML",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself",
    b"\x89HDF\r\n": "is an HDF5 file",
    b"PK\x03\x04": "is a zip file",
    b"\x1f\x8b": "is packed with gzip; unpack it first",
}


def read_wire(path: Path, kind: str) -> Message:
    """The message that a file holds; DataError where it holds none, or ends too early.  Arrays stay in the file until used."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        size = path.stat().st_size
        with open(path, "rb") as file:
            content: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    for start, what in FOREIGN.items():
        if content[: len(start)] == start:
            raise DataError(f"{path}: {what}; expected a binary file of Caffe ({kind})")
    return parse_wire(content, kind, str(path))


def parse_wire(content: Any, kind: str, path: str) -> Message:
    """The message that bytes hold; `path` is what errors call them."""
    return Reader(memoryview(content), path, kind).message(kind, 0, len(content), None)


class Reader:
    """Reads messages off the bytes, by the schema; what the schema does not know is passed over, its number kept."""

    def __init__(self, content: memoryview, path: str, kind: str) -> None:
        self.content, self.path, self.kind = content, path, kind
        self.count = self.pieces = 0

    def message(self, kind: str, at: int, end: int, into: Message | None) -> Message:
        """The fields from `at` to `end`; of a message that comes in two pieces, the second goes into the first."""
        made = into or Message(kind)
        self.counted(at)
        fields, numbers = MESSAGES[kind], NUMBERS[kind]
        while at < end:
            start = at
            tag, at = self.varint(at, end)
            number, form = tag >> 3, tag & 7
            name = numbers.get(number)
            told = fields[name] if name else None
            if told is not None and told.repeated and told.type in FLOATS and form == FLOATS[told.type][1]:
                at = self.run(made, str(name), told, start, end)
                continue
            first, last = self.extent(number, form, start, at, end)
            at = last
            taken = told is not None and self.take(made, str(name), told, form, first, last)
            if not taken:
                self.counted(start)
                if number not in made.unknown and len(made.unknown) < MOST_UNKNOWN:
                    made.unknown += (number,)
        for name in list(made.fields):
            join(made, name, fields[name])
        return made

    def extent(self, number: int, form: int, start: int, at: int, end: int) -> tuple[int, int]:
        """Where the value of a field begins and ends, its tag being read."""
        if form == COUNTED:
            size, at = self.varint(at, end)
        elif form == VARINT:
            size = self.varint(at, end)[1] - at
        elif form in WIDTH:
            size = WIDTH[form]
        else:
            self.refuse(start, f"field {number} has the form {form}, which no file of Caffe uses")
        if number == 0:
            self.refuse(start, "a field has the number 0")
        if size > end - at:
            self.refuse(start, f"field {number} says that it has {size:,} bytes, and {end - at:,} are left")
        return at, at + size

    def take(self, into: Message, name: str, told: Field, form: int, at: int, end: int) -> bool:
        """Puts one value, or a packed row of them, into the message; False where its form is not the schema's."""
        self.counted(at)
        if told.is_message and form == COUNTED:
            old = None if told.repeated or name not in into else into[name]
            self.pieces += old is not None
            if self.pieces > MOST_PIECES:
                self.refuse(at, f"'{name}' is the last of more than {MOST_PIECES:,} pieces of messages")
            value = self.message(told.type, at, end, old)
            if old is None:
                into.add(name, value)
        elif told.type in ("string", "bytes") and form == COUNTED:
            content = bytes(self.content[at:end])
            into.add(name, content if told.type == "bytes" else content.decode("utf-8", "replace"))
        elif told.type in FLOATS and form == COUNTED and told.repeated:
            dtype = np.dtype(FLOATS[told.type][0])
            if (end - at) % dtype.itemsize:
                self.refuse(at, f"'{name}' has {end - at:,} bytes, which are no whole {told.type} numbers")
            into.add(name, np.frombuffer(self.content[at:end], dtype))
        elif told.type in FLOATS and form == FLOATS[told.type][1]:
            into.add(name, shortest(np.frombuffer(self.content[at:end], FLOATS[told.type][0])[0]))
        elif told.type not in FLOATS and not told.is_message and form == VARINT:
            into.add(name, whole(self.varint(at, end)[0], told))
        elif told.type not in FLOATS and not told.is_message and form == COUNTED and told.repeated:
            while at < end:
                self.counted(at)
                number, at = self.varint(at, end)
                into.add(name, whole(number, told))
        else:
            return False
        return True

    def run(self, into: Message, name: str, told: Field, at: int, end: int) -> int:
        """Numbers that follow one another, each behind its tag, taken together; returns where they end."""
        dtype = np.dtype(FLOATS[told.type][0])
        behind = self.varint(at, end)[1]
        tag, width = np.frombuffer(self.content[at:behind], np.uint8), behind - at + dtype.itemsize
        window = 16 * width  # twice as much is looked at each time: a short run must not cost a look at all that follows
        while True:
            rows = np.frombuffer(self.content[at : at + min(window, end - at) // width * width], np.uint8).reshape(-1, width)
            same = (rows[:, : len(tag)] == tag).all(axis=1)
            if not same.all() or window >= end - at:
                break
            window *= 2
        count = len(rows) if same.all() else int(np.argmin(same))
        if not count:
            self.refuse(at, f"'{name}' is cut short")
        into.add(name, rows[:count, len(tag) :].copy().view(dtype)[:, 0])
        self.counted(at)
        return at + count * width

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """(the number, where it ends): seven bits a byte, the lowest first, the eighth telling that more follow."""
        value = shift = 0
        for stop in range(at, min(at + 10, end)):
            byte = self.content[stop]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, stop + 1
            shift += 7
        return self.refuse(at, "a number is cut short or has more than ten bytes")

    def counted(self, at: int) -> None:
        self.count += 1
        if self.count > MOST:
            self.refuse(at, f"there are more than {MOST:,} values, arrays apart; no file of Caffe has")

    def refuse(self, at: int, what: str) -> NoReturn:
        raise DataError(f"{self.path}: is no binary {self.kind} of Caffe, or cut short: at byte {at:,}, {what}; get it again")


def join(message: Message, name: str, told: Field) -> None:
    """The pieces of a repeated number as the message has them: one array if the schema packs floats, else plain numbers."""
    values = message.fields[name]
    if not told.repeated or told.type not in FLOATS:
        return
    pieces = [value if isinstance(value, np.ndarray) else np.array([value], FLOATS[told.type][0]) for value in values]
    joined = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    message.fields[name] = [joined] if told.packed else [shortest(number) for number in joined]
    if not message.fields[name]:
        del message.fields[name]


def shortest(number: Any) -> float:
    """A float32 as the shortest decimal that means it: 0.0005, not 0.0005000000237."""
    return float(str(number))


def whole(value: int, told: Field) -> Any:
    """A varint as what the schema says: a truth, an enum's name, a number with or without a sign."""
    if told.type == "bool":
        return value != 0
    if told.is_enum:
        signed = value - (1 << 64) if value >= 1 << 63 else value
        return NAMES[told.type].get(signed, str(signed))
    if told.type in ("int32", "uint32"):
        value &= 0xFFFFFFFF
    bits = 32 if told.type.endswith("32") else 64
    return value - (1 << bits) if told.type.startswith("int") and value >= 1 << (bits - 1) else value
