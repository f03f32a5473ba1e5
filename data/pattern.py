"""Patterns of file names, {label}_{speaker}_{take:int}.wav: what a name says of a sample."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from dltrain.errors import did_you_mean

LONGEST = 500  # characters of a pattern
DIGITS = 18  # of a number, at most
KINDS = {"": "text", "int": "int"}
PART = re.compile(r"\{([^{}]*)\}")
WAY_OUT = "write it as in {label}_{speaker}_{take:int}.png"


class Pattern:
    """A pattern as a test of file names.

    {name}       a text, kept under the name          {name:int}   a whole number, kept as such
    other text   itself; of the end, such as .png, upper and lower case do not matter

    A pattern without / looks at the last part of a path, one with / at all of it; no {name} reaches over a /.  A lone text
    may contain anything; one of several does not contain the characters that stand before and after it, so that no name can
    be taken apart in two ways: a_b_c is no {label}_{speaker}.

    names   of the pattern, in order        kinds   name -> "text" or "int"

    >>> Pattern("{label}_{take:int}.png").match("pug_dog_7.PNG")
    {'label': 'pug_dog', 'take': 7}
    """

    def __init__(self, text: str) -> None:
        """ValueError says what is wrong with the pattern."""
        if not text or len(text) > LONGEST:
            raise ValueError(f"must have 1 to {LONGEST} characters; {WAY_OUT}")
        self.text = text
        self.kinds: dict[str, Literal["text", "int"]] = {}
        folders = [self.pieces(folder) for folder in text.split("/")]
        if "label" not in self.kinds:
            hint = did_you_mean("label", self.kinds) if self.kinds else WAY_OUT
            raise ValueError(f"has no {{label}}; {hint if hint.startswith('did') else 'name the part that is the class so'}")
        *above, last = (self.compiled(pieces, last=place == len(folders) - 1) for place, pieces in enumerate(folders))
        self.expression = re.compile("/".join([*above, last]), re.DOTALL)

    @property
    def names(self) -> list[str]:
        return list(self.kinds)

    def match(self, filename: str) -> dict[str, str | int] | None:
        """What a file's name (or its path, with /) says; None where it is not of this pattern."""
        subject = filename if "/" in self.text else filename.rpartition("/")[2]
        found = self.expression.fullmatch(subject)
        if found is None:
            return None
        return {name: int(found[name]) if kind == "int" else found[name] for name, kind in self.kinds.items()}

    def pieces(self, folder: str) -> list[tuple[str, str]]:
        """The part between two slashes as (kind, name) and ("", text), in order."""
        if not folder or folder in (".", ".."):
            raise ValueError("has an empty part, . or .. between slashes; it is a path below the root")
        words = PART.split(folder)  # text, name, text, name, …, text
        made = [self.named(word) if place % 2 else ("", word) for place, word in enumerate(words) if place % 2 or word]
        for (kind, name), (after, follower) in zip(made, made[1:]):
            if kind and kind == after:
                raise ValueError(f"has {{{name}}} and {{{follower}}} side by side; put a character between them")
            if kind == "int" and not after and follower[0].isdecimal():
                raise ValueError(f"has the digit {follower[0]} behind the number {{{name}:int}}; nobody can tell where it ends")
        for kind, word in made:
            if not kind and ("{" in word or "}" in word):
                raise ValueError(f"has a lone brace in '{word}'; {WAY_OUT}")
        return made

    def named(self, word: str) -> tuple[str, str]:
        """(kind, name) of what stands between braces."""
        name, colon, kind = word.partition(":")
        if not (name.isidentifier() and name.isascii()):
            raise ValueError(f"has the name {{{word}}}; a name has letters, digits and _")
        if (colon and not kind) or kind not in KINDS:
            raise ValueError(f"has {{{word}}}; a part is a text, {{{name}}}, or a whole number, {{{name}:int}}")
        if name in self.kinds:
            raise ValueError(f"has {{{name}}} twice; give each part a name of its own")
        self.kinds[name] = "int" if kind == "int" else "text"
        return self.kinds[name], name

    def compiled(self, pieces: list[tuple[str, str]], last: bool) -> str:
        """A regular expression that has, but for a lone text, one way only to go: no file name can make it slow."""
        texts = sum(kind == "text" for kind, _ in pieces)
        made = []
        for place, (kind, word) in enumerate(pieces):
            after, follower = pieces[place + 1] if place + 1 < len(pieces) else ("", "")
            if not kind:
                made.append(f"(?i:{re.escape(word)})" if last and not follower else re.escape(word))
            elif kind == "int":
                made.append(f"(?P<{word}>[0-9]{{1,{DIGITS}}}+)")
            else:
                beside = [pieces[place - 1]] * (place > 0) + [(after, follower)] * bool(follower)
                ends = ["[0-9]"] * (after == "int") + [re.escape(text) for of, text in beside if not of] * (texts > 1)
                made.append(f"(?P<{word}>(?:(?!{'|'.join(ends)})[^/])++)" if ends else f"(?P<{word}>[^/]+)")
        return "".join(made)


def checked(text: str) -> str:
    Pattern(text)
    return text


FilePattern = Annotated[str, AfterValidator(checked)]  # a key of a source
