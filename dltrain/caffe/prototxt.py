"""A Message written as prototxt, in the style in which people write it: two blanks a level, small messages on one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from dltrain.caffe.message import Message
from dltrain.caffe.schema import MESSAGES, Field

SMALL = {"BlobShape", "FillerParameter", "NetStateRule", "NetState", "ParamSpec"}  # messages that stand on one line
WIDEST = 100  # characters of such a line
PLAIN = re.compile(rb"[ !#-&(-\[\]-~]")  # bytes that stand for themselves in quotes
ESCAPES = {b"\n": r"\n", b"\r": r"\r", b"\t": r"\t", b'"': r"\"", b"'": "'", b"\\": r"\\"}


def write_text(message: Message) -> str:
    """The text of a message, its fields in the order in which they were given."""
    return "".join(f"{line}\n" for line in lines(message))


def lines(message: Message) -> Iterator[str]:
    for name, values in message.fields.items():
        told = MESSAGES[message.kind].get(name)
        for value in values:
            if not isinstance(value, Message):
                yield from (f"{name}: {text}" for text in scalars(value, told))
                continue
            inside = list(lines(value))
            short = f"{name} {{ {' '.join(inside)} }}" if inside else f"{name} {{ }}"
            if value.kind in SMALL and len(short) <= WIDEST:
                yield short
            else:
                yield f"{name} {{"
                yield from (f"  {line}" for line in inside)
                yield "}"


def scalars(value: Any, told: Field | None) -> Iterator[str]:
    """A value as it stands behind the colon; an array is one value after another."""
    for each in value.reshape(-1) if isinstance(value, np.ndarray) else (value,):
        yield scalar(each, told)


def scalar(value: Any, told: Field | None) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return quoted(value)
    if isinstance(value, str):
        bare = told.is_enum if told else type(value) is not str
        return str(value) if bare else quoted(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, int | np.integer):
        return str(int(value))
    text = str(value) if isinstance(value, np.floating) else repr(float(value))
    return text.removesuffix(".0") if told else text


def quoted(content: bytes) -> str:
    """In double quotes; what is not plain ASCII as \\ooo."""
    pieces = (content[at : at + 1] for at in range(len(content)))
    return '"' + "".join(p.decode() if PLAIN.match(p) else ESCAPES.get(p, f"\\{p[0]:03o}") for p in pieces) + '"'
