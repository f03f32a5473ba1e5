"""The texts of the kernels: files of kernels/, and what their signatures say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

KERNELS = Path(__file__).parent / "kernels"
INCLUDED = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
DEFINED = re.compile(r"^(BLOCK_)?KERNEL\s+(\w+)\s*\(([^)]*)\)", re.MULTILINE)


class Kernel(NamedTuple):
    """A kernel as its text declares it: `types` of its parameters, such as ("const float *", "int"); `meets` at barriers."""

    name: str
    types: tuple[str, ...]
    meets: bool


@cache
def text_of(file: str, head: str = "") -> str:
    """A file of kernels behind the prelude and `head`; what it includes stands in its place."""
    text = INCLUDED.sub(lambda found: (KERNELS / found[1]).read_text(), (KERNELS / f"{file}.cu").read_text())
    return f"{(KERNELS / 'prelude.cuh').read_text()}\n{head}{text}"


@cache
def kernels_of(text: str) -> tuple[Kernel, ...]:
    """All kernels of a text, in order."""
    return tuple(
        Kernel(name, tuple(kind(word) for word in words.split(",") if word.strip()), bool(meets))
        for meets, name, words in DEFINED.findall(text)
    )


def kind(parameter: str) -> str:
    """const float *__restrict__ x -> float *"""
    words = re.sub(r"\b(const|__restrict__)\b", " ", parameter).replace("&", " ").replace("*", " * ").split()
    return " ".join(words[:-1])


@cache
def specialised(text: str, name: str, types: tuple[str, ...]) -> str:
    """The text in which the `real` of each of a kernel's parameters is a type of its own: float, bf16 or fp16."""

    def said(found: re.Match[str]) -> str:
        words = zip(found[3].split(","), types, strict=True)
        return found[0].replace(found[3], ",".join(re.sub(r"\breal\b", kind, word) for word, kind in words))

    return DEFINED.sub(lambda found: said(found) if found[2] == name else found[0], text)


def files() -> list[str]:
    """The names of all files of kernels."""
    return sorted(path.stem for path in KERNELS.glob("*.cu"))
