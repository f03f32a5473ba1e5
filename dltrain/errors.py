"""What can go wrong for a user: one class a kind, each with its exit code.

DltrainError                1
├── ConfigError             2   the text is wrong, or the command line (every mistake of it, in one pass)
├── Diverged                3   the loss or the gradient is not a finite number
├── DataError               4   data are missing, damaged, or not what the net needs
├── OutOfMemory             5   the plan needs more memory than there is
├── SnapshotError           6   a snapshot is damaged, foreign, or cannot be written
├── CheckFailed             7   a check that was asked for did not pass
└── Stopped                75   a signal came; the work is saved and can be resumed

Refusal stands apart: it is how a layer says that one of its keys cannot be, before anybody knows the key's line.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DltrainError(Exception):
    """A message for the user: where, what, and the way out; never a traceback."""

    exit_code = 1


class ConfigError(DltrainError):
    exit_code = 2


class Mistakes(ConfigError):
    """All that is wrong with a text, a line each, every one with its place."""


class Diverged(DltrainError):
    exit_code = 3


class DataError(DltrainError):
    exit_code = 4


class OutOfMemory(DltrainError):
    exit_code = 5


class SnapshotError(DltrainError):
    exit_code = 6


class CheckFailed(DltrainError):
    exit_code = 7


class Stopped(DltrainError):
    exit_code = 75


class Refusal(Exception):
    """A layer, filler or source cannot work with the value of `key` ("" for the thing as a whole)."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant, if one comes near; upper and lower case do not matter to a tired eye."""
    text, names = str(word), sorted(set(known))
    swapped = [name for name in names if sorted(name.lower()) == sorted(text.lower())]
    near = get_close_matches(text, swapped, 1, 0.0) or get_close_matches(text, names, 1, 0.6)
    if near:
        return near[0]
    folded = {name.lower(): name for name in names}
    return next((folded[match] for match in get_close_matches(text.lower(), folded, 1, 0.6)), None)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The way out of an unknown word: the nearest known one, else all of them.

    >>> did_you_mean("Poling", ["Pooling", "ReLU"])
    "did you mean 'Pooling'?"
    """
    names = sorted(set(known))
    near = nearest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if not names:
        return "there is nothing to choose from"
    return f"known: {', '.join(names)}" if len(names) <= 40 else f"there are {len(names)} known ones"
