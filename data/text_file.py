"""Plain text files, read some at a time: plain or gzipped, in an encoding that is said, never all in memory at once."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from dltrain.errors import DataError

Encoding = Literal["utf-8", "latin-1"]

CHUNK = 1 << 20  # bytes that are read together
MOST = 1 << 30  # characters of a text
LONGEST = 1 << 20  # characters of a word or a line


def pieces(path: Path, encoding: Encoding) -> Iterator[str]:
    """The text of a file, piece by piece; the end of a line is \\n, whatever the file has.  DataError where it is no text."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file; expected a text in {encoding}, plain or .gz")
    try:
        with open(path, "rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"  # the content decides, not the name
            with gzip.GzipFile(fileobj=raw) if packed else raw as stream:
                yield from decoded(stream, path, encoding)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is damaged or cut short ({error}); get the file again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from None


def decoded(stream: Any, path: Path, encoding: Encoding) -> Iterator[str]:
    """The characters of a stream of bytes; a byte order mark at its start is none of them."""
    decoder = codecs.getincrementaldecoder(encoding)()
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    at, count = 0, 0  # bytes, characters
    while True:
        chunk = stream.read(CHUNK)
        waiting = len(decoder.getstate()[0])  # bytes of a character that the last chunk cut
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            place = at - waiting + error.start
            raise DataError(f"{path}: byte {place:,} (0x{error.object[error.start]:02x}) is no {encoding}; "
                            "save the file in utf-8, or set encoding: latin-1") from None  # fmt: skip
        if "\0" in text:
            raise DataError(f"{path}: holds zero bytes, as no text in {encoding} does; expected a text")
        text = ends.decode(text, final=not chunk)  # without a decoder of its own it takes text
        text = text.removeprefix("\ufeff") if count == 0 else text
        at, count = at + len(chunk), count + len(text)
        if count > MOST:
            raise DataError(f"{path}: has more than {MOST:,} characters; cut it, and name the parts that are needed")
        if text:
            yield text
        if not chunk:
            return


def lines(path: Path, encoding: Encoding) -> Iterator[str]:
    """The lines of a file, without their ends."""
    rest, number = "", 0
    for piece in pieces(path, encoding):
        *whole, rest = (rest + piece).split("\n")
        number += len(whole)
        if len(rest) > LONGEST:
            raise DataError(f"{path}: line {number + 1} has more than {LONGEST:,} characters; expected a sample a line")
        yield from whole
    if rest:
        yield rest


def words(path: Path, encoding: Encoding, line_end: str | None) -> Iterator[list[str]]:
    """The words of a file, some at a time: what stands between white space; `line_end` is the word for the end of a line."""
    rest = ""
    for piece in pieces(path, encoding):
        text = rest + (piece if line_end is None else piece.replace("\n", f" {line_end} "))
        found = text.split()
        rest = "" if text[-1].isspace() else found.pop()
        if len(rest) > LONGEST:
            raise DataError(f"{path}: has a word of more than {LONGEST:,} characters; expected words with white space between")
        yield found
    if rest:
        yield [rest]
