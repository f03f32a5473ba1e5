"""Vocabularies: which symbols of a text are numbered, in which order, and the file that keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dltrain.data.text_file import lines
from dltrain.errors import DataError

UNKNOWN, PAD = "<unk>", "<pad>"
MOST = 1 << 24  # entries of a file


def by_count(counts: Iterable[tuple[str, int]], least: int) -> list[str]:
    """Words that occur at least so often, the most frequent first; of equals, by the alphabet."""
    kept = [(word, count) for word, count in counts if count >= least]
    return [word for word, _ in sorted(kept, key=lambda pair: (-pair[1], pair[0]))]


def load(path: Path) -> list[str]:
    """The entries of a vocabulary file: a line each, as JSON where the line begins with a quotation mark."""
    place: dict[str, int] = {}
    for number, line in enumerate(lines(path, "utf-8"), 1):
        word = entry(path, number, line)
        if word in place:
            raise DataError(f"{path}:{number}: '{word}' stands already in line {place[word]}; keep one of them")
        if number > MOST:
            raise DataError(f"{path}: has more than {MOST:,} entries; expected a vocabulary, an entry a line")
        place[word] = number
    if not place:
        raise DataError(f"{path}: has no entries; remove the file, and it is written anew")
    return list(place)


def entry(path: Path, number: int, line: str) -> str:
    if not line.startswith('"'):
        word = line
    else:
        try:
            word = json.loads(line)
        except ValueError:
            raise DataError(f'{path}:{number}: is no entry; write it plain, or as JSON, such as "\\n"') from None
    if not isinstance(word, str) or not word:
        raise DataError(f"{path}:{number}: is empty; remove the line")
    return word


def save(path: Path, words: list[str]) -> None:
    """Writes a vocabulary, an entry a line as JSON; under a temporary name first, so that nobody sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(word, ensure_ascii=False)}\n" for word in words)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(f"{path}: cannot be written ({error.strerror}); name a file in a folder that can be written to") from None
