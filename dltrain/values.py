"""Values of a config with $name and $(…) in them, worked out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dltrain.expression import Expression
from dltrain.marks import Key

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


class Unworkable(Exception):
    """A value that cannot be worked out: why, and the way to it from the line that it stands in."""

    def __init__(self, words: str, path: Key, key: bool = False) -> None:
        super().__init__(words)
        self.path, self.key = path, key


def work(value: Any, path: Key, known: Mapping[str, Any]) -> Any:
    """The value with every expression in it worked out; a text that is nothing but an expression takes its type."""
    if isinstance(value, dict):
        return {key: work(item, (*path, key), known) for key, item in value.items()}
    if isinstance(value, list):
        return [work(item, (*path, place), known) for place, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    try:
        parts = list(split(value))
        made = [part if plain else Expression(part).value(known) for plain, part in parts]
    except ValueError as error:
        raise Unworkable(str(error), path) from None
    return made[0] if len(parts) == 1 else "".join(str(part) for part in made)


def truth(value: Any, path: Key, known: Mapping[str, Any]) -> bool:
    """Whether a condition holds: an expression, with or without its $(…)."""
    made = work(value, path, known)
    if isinstance(made, str) and "$" not in str(value):
        try:
            made = Expression(made).value(known)
        except ValueError as error:
            raise Unworkable(str(error), path) from None
    if not isinstance(made, bool | int):
        raise Unworkable(f"must be true or false, not {made!r}", path)
    return bool(made)


def split(text: str) -> list[tuple[bool, str]]:
    """(plain, text) of each piece: $name and $(…) are expressions, $$ is a $."""
    pieces: list[tuple[bool, str]] = []
    start = at = 0
    while at < len(text):
        if text[at] != "$":
            at += 1
            continue
        if at > start:
            pieces.append((True, text[start:at]))
        if text[at + 1 : at + 2] == "$":
            pieces.append((True, "$"))
            at += 2
        elif text[at + 1 : at + 2] == "(":
            end = closing(text, at + 1)
            pieces.append((False, text[at + 2 : end]))
            at = end + 1
        else:
            match = NAME.match(text, at + 1)
            if match is None:
                raise ValueError(f"'{text}' has a $ without a name; write $name, $(…), or $$ for the sign itself")
            pieces.append((False, match[0]))
            at = match.end()
        start = at
    return [*pieces, (True, text[start:])] if start < len(text) else pieces


def closing(text: str, at: int) -> int:
    """Where the bracket that opens at `at` closes."""
    depth = 0
    for place in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"'{text}' opens a bracket that does not close")
