"""The words of a prototxt: names, numbers, texts in quotes and signs, one after another, each with its place."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from dltrain.errors import DataError

TOKEN = re.compile(
    r"""(?:[\s\ufeff]|\#[^\n]*)*+
    (?:(?P<name>[A-Za-z_]\w*)
      |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?+[fF]?)(?![\w.]))
      |(?P<text>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')
      |(?P<sign>[{}<>\[\]:,;+/-])
      |(?P<end>\Z))""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
CONTROL = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "?": 63}
ENDS = {"name": "a name", "number": "a number", "text": "a text in quotes", "end": "the end of the file"}


class Token(NamedTuple):
    kind: str  # name, number, text, sign, end
    text: str
    at: int

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 40 else f"{self.text[:40]}…"
        return ENDS["end"] if self.kind == "end" else shown if self.kind == "text" else f"'{shown}'"


class Tokens:
    """The tokens of a text, with one seen ahead: `next` is the one that comes."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        self.line, self.counted = 1, 0
        self.next = self.read(0)

    def read(self, at: int) -> Token:
        found = TOKEN.match(self.text, at)
        if found is None:
            self.refuse_character(at)
        kind = str(found.lastgroup)
        return Token(kind, found[kind], found.start(kind))

    def take(self) -> Token:
        """The token that comes; the one behind it is read."""
        token = self.next
        self.next = self.read(token.at + len(token.text))
        return token

    def skip(self, *signs: str) -> bool:
        """Takes the token that comes if it is one of these signs."""
        if self.next.kind == "sign" and self.next.text in signs:
            self.take()
            return True
        return False

    def here(self) -> int:
        """The line of the token that comes."""
        self.line += self.text.count("\n", self.counted, self.next.at)
        self.counted = self.next.at
        return self.line

    def refuse(self, what: str, at: int | None = None) -> NoReturn:
        """DataError with path:line:column, at the token that comes unless told otherwise."""
        at = self.next.at if at is None else at
        line, column = self.text.count("\n", 0, at) + 1, at - (self.text.rfind("\n", 0, at) + 1) + 1
        raise DataError(f"{self.path}:{line}:{column}: {what}")

    def refuse_character(self, at: int) -> NoReturn:
        """What stands behind the blanks from `at` on and begins no token."""
        gap = re.compile(r"(?:[\s\ufeff]|#[^\n]*)*+").match(self.text, at)
        start = gap.end() if gap else at
        character = self.text[start]
        if character in "\"'":
            self.refuse("the text that begins here is not closed on its line; end it with the same quote", start)
        if character.isdigit() or character == ".":
            word = re.compile(r"[\w.]{1,40}").match(self.text, start)
            self.refuse(f"'{word[0] if word else character}' is neither a number nor a name; correct it", start)
        self.refuse(f"the character {character!r} means nothing here; is this a prototxt?", start)


def unescaped(token: Token) -> bytes | None:
    r"""The bytes of a text in quotes, \n \t \x41 \101 \u00e9 made what they mean; None where a \ begins nothing known."""
    pieces, at, body = [], 0, token.text[1:-1]
    for found in ESCAPE.finditer(body):
        pieces.append(body[at : found.start()].encode())
        at = found.end()
        hexadecimal, octal, short, long, letter = found.groups()
        if letter is not None:
            if letter not in CONTROL:
                return None
            pieces.append(bytes([CONTROL[letter]]))
        elif short or long:
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                return None
            pieces.append(chr(code).encode())
        else:
            pieces.append(bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 0xFF]))
    pieces.append(body[at:].encode())
    return b"".join(pieces)
