"""A prototxt read: text of Caffe as a Message, everything of doubtful kind refused with its line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dltrain.caffe.message import Message
from dltrain.caffe.prototxt import write_text
from dltrain.caffe.schema import ENUMS, MESSAGES, NAMES, UNKNOWN, WHOLE, Field
from dltrain.caffe.tokens import Tokens, unescaped
from dltrain.errors import DataError, did_you_mean

__all__ = ["Word", "parse_text", "read_text", "write_text"]

LARGEST = 64 << 20  # bytes of a text
DEEPEST = 100  # messages within messages
MOST = 200_000  # messages and unknown fields
BOOLS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
BRACKETS = {"{": "}", "<": ">"}
INFINITE = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}


class Word(str):
    """A name without quotes, as the value of a field that the schema does not know: an enum's, as a rule."""


def read_text(path: Path, kind: str) -> Message:
    """The message that a file holds; DataError with path:line:column where it is no such text."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; expected a prototxt")
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: is larger than {LARGEST >> 20} MB; expected a prototxt")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if b"\0" in content:
        raise DataError(f"{path}: is no text but a binary file; expected a prototxt")
    try:
        text = content.decode()
    except UnicodeDecodeError:  # as a rule a comment in some other coding
        text = content.decode("latin-1")
    return parse_text(text, kind, str(path))


def parse_text(text: str, kind: str, path: str) -> Message:
    """The message that a text holds; `path` is what errors call it."""
    return Reader(text, path).message(kind, "", 0, 1)


class Reader:
    """Reads messages off the tokens, by the schema; what the schema does not know is kept as it stands."""

    def __init__(self, text: str, path: str) -> None:
        if len(text) > LARGEST:
            raise DataError(f"{path}: is longer than {LARGEST >> 20} million characters; expected a prototxt")
        self.tokens = Tokens(text, path)
        self.count = 0

    def message(self, kind: str, closing: str, depth: int, line: int) -> Message:
        """The fields up to `closing`, or up to the end of the text."""
        tokens = self.tokens
        self.counted()
        if depth > DEEPEST:
            tokens.refuse(f"messages lie more than {DEEPEST} deep in one another; no net of Caffe does")
        made = Message(kind, line=line)
        opened = tokens.next.at
        while not (tokens.next.kind == "end" or (closing and tokens.next.text == closing)):
            self.field(made, depth)
            tokens.skip(",", ";")
        if closing and tokens.next.kind == "end":
            tokens.refuse(f"this message is never closed; a '{closing}' is missing", max(opened - 1, 0))
        return made

    def field(self, into: Message, depth: int) -> None:
        """name: value, name { ... }, name: [value, ...]"""
        tokens = self.tokens
        if tokens.next.kind != "name":
            if tokens.next.text in ("}", ">"):
                tokens.refuse(f"'{tokens.next.text}' closes nothing; a bracket too many, or one missing above")
            tokens.refuse(f"expected the name of a field, got {tokens.next}")
        line = tokens.here()
        at, name = tokens.next.at, tokens.take().text
        told = MESSAGES[into.kind].get(name)
        if told is None:
            self.counted()
        elif name in into and not told.repeated:
            tokens.refuse(f"'{name}' stands twice in one {into.kind}, first in line {into.lines[name]}; Caffe takes one", at)
        into.lines.setdefault(name, line)
        colon = tokens.skip(":")
        if not colon and tokens.next.text not in BRACKETS and not (tokens.next.text == "[" and told and told.is_message):
            tokens.refuse(f"expected ':' behind '{name}', got {tokens.next}{self.meant(into.kind, name)}")
        if not tokens.skip("["):
            into.add(name, self.value(into.kind, name, told, depth))
            return
        if told is not None and not told.repeated:
            tokens.refuse(f"'{name}' of {into.kind} is {spoken(told)}, not a list", at)
        while not tokens.skip("]"):
            into.add(name, self.value(into.kind, name, told, depth))
            if not tokens.skip(",") and tokens.next.text != "]":
                tokens.refuse(f"expected ',' or ']' in the list of '{name}', got {tokens.next}")

    def value(self, kind: str, name: str, told: Field | None, depth: int) -> Any:
        """One value of a field: of the type that the schema tells, or whatever stands there."""
        tokens = self.tokens
        if tokens.next.text in BRACKETS:
            if told is not None and not told.is_message:
                tokens.refuse(f"'{name}' of {kind} is {spoken(told)}, not a message in brackets")
            line, closing = tokens.here(), BRACKETS[tokens.take().text]
            made = self.message(told.type if told else UNKNOWN, closing, depth + 1, line)
            tokens.take()
            return made
        if told is None:
            return self.anything(name)
        if told.is_message:
            tokens.refuse(f"'{name}' is a message: expected '{{', got {tokens.next}")
        if told.type in ("string", "bytes"):
            content = self.content(name)
            return content if told.type == "bytes" else content.decode("utf-8", "replace")
        return self.scalar(name, told)

    def content(self, name: str) -> bytes:
        """A text in quotes, and those that follow it."""
        tokens = self.tokens
        if tokens.next.kind != "text":
            tokens.refuse(f"'{name}' is a text: put {tokens.next} in quotes")
        pieces = []
        while tokens.next.kind == "text":
            piece = unescaped(tokens.next)
            if piece is None:
                tokens.refuse(rf"the text of '{name}' has a \ before something that needs none; write \\ for one")
            pieces.append(piece)
            tokens.take()
        return b"".join(pieces)

    def scalar(self, name: str, told: Field) -> Any:
        """A number, a truth or an enum's name."""
        tokens = self.tokens
        negative = tokens.skip("-")
        at, token = tokens.next.at, tokens.next
        if token.kind not in ("name", "number"):
            tokens.refuse(f"'{name}' is {spoken(told)}, got {token}")
        tokens.take()
        try:
            return typed(token.text, told, negative)
        except ValueError as error:
            sign = "-" if negative else ""
            tokens.refuse(f"'{name}' is {spoken(told)}, got '{sign}{token.text[:40]}'{error}", at)

    def anything(self, name: str) -> Any:
        """The value of a field that the schema does not know."""
        tokens = self.tokens
        if tokens.next.kind == "text":
            return self.content(name).decode("utf-8", "replace")
        negative = tokens.skip("-")
        token = tokens.next
        if token.kind not in ("name", "number"):
            tokens.refuse(f"expected the value of '{name}', got {token}")
        tokens.take()
        for type in ("int64", "uint64", "float"):
            try:
                return typed(token.text, Field(0, type), negative)
            except ValueError:
                continue
        return {"true": True, "false": False}.get(token.text, Word(token.text))

    def meant(self, kind: str, name: str) -> str:
        """The way out of a name that the schema does not know, where one was meant that it knows."""
        known = MESSAGES[kind]
        return f"; {did_you_mean(name, known)}" if known and name not in known else ""

    def counted(self) -> None:
        self.count += 1
        if self.count > MOST:
            self.tokens.refuse(f"the text holds more than {MOST:,} messages; no net of Caffe does")


def typed(text: str, told: Field, negative: bool) -> Any:
    """The value that a name or a number stands for; ValueError, with the way out, where it is of another type."""
    if told.is_enum:
        if negative or not (text.isdecimal() or text[0].isalpha() or text[0] == "_"):
            raise ValueError("")
        return NAMES[told.type].get(whole(text, False), text) if text.isdecimal() else text
    if told.type == "bool":
        if text not in BOOLS or negative:
            raise ValueError("; write true or false")
        return BOOLS[text]
    if told.type in WHOLE:
        least, most = WHOLE[told.type]
        number = whole(text, negative)
        if not least <= number <= most:
            raise ValueError(f"; it lies between {least} and {most}")
        return number
    real = fraction(text)
    return -real if negative else real


def whole(text: str, negative: bool) -> int:
    """64, 0x40 or 0100, the last as base eight."""
    if not text[0].isdigit() or len(text) > 64 or not text.replace("x", "").replace("X", "").isalnum():
        raise ValueError("; write it in digits")
    base = 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10
    try:
        number = int(text, base)
    except ValueError:
        raise ValueError("; write it in digits") from None
    return -number if negative else number


def fraction(text: str) -> float:
    """1, .5, 5., 1e-6, 5f, inf, nan"""
    if text.lower() in INFINITE:
        return INFINITE[text.lower()]
    if text[0] == "0" and text.lower().isalnum() and len(text) > 1 and (text[1:].isdigit() or text[1] in "xX"):
        return float(whole(text, False))
    try:
        return float(text[:-1] if text[-1] in "fF" and text[0] in ".0123456789" else text)
    except ValueError:
        raise ValueError("") from None


def spoken(told: Field) -> str:
    """A field's type in words."""
    if told.is_message:
        return "a message"
    if told.is_enum:
        return f"one of {', '.join(ENUMS[told.type])}"
    words = {"bool": "true or false", "string": "a text in quotes", "bytes": "a text in quotes"}
    return words.get(told.type, "a whole number" if told.type in WHOLE else "a number")
