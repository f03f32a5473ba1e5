"""Small tasks that show what a net can learn: each sample a formula over numbers that are drawn for it alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltrain.errors import Refusal
from dltrain.source import Arrays, Draw

Counts = Callable[[Any, Any], list[Any]]  # how often each letter stands, from n and m
LETTERS = "abcd"
CLASSES = ["first", "second"]


@dataclass(frozen=True)
class Task:
    """make(draw, keys) gives the fields of the samples that `draw` is for; names(keys) the words for the classes of fields."""

    make: Callable[..., Arrays]
    names: Callable[..., dict[str, list[str]]] = lambda **keys: {}

    @property
    def keys(self) -> dict[str, Any]:
        """The keys that it takes, with their defaults."""
        return {name: one.default for name, one in inspect.signature(self.make).parameters.items() if name != "draw"}


def whole(u: Any, low: Any, high: Any) -> Any:
    """Whole numbers low .. high from numbers in [0, 1)."""
    return low + (u * (high - low + 1)).astype(np.int64)


def normal(draw: Draw) -> Any:
    """(N, 2) of the standard normal distribution (Box & Muller)."""
    u, v = draw.many(2, 1).T
    return (np.sqrt(-2 * np.log1p(-u)) * (np.cos(2 * np.pi * v), np.sin(2 * np.pi * v))).T


def language(counts: Counts, free: int) -> Task:
    """Texts in which the first `free` letters stand as often as they like, and the others as often as follows.

    data    (T)  the text: n a's, then b's …; 0 is its end, and what is behind it        label   (T)  the symbol after each
    weight  (T)  1 where the next symbol follows from those before, the end included, else 0

    n (and m) are drawn from `n`; where nothing is said, from 1 on as far as every text fits.     Joulin & Mikolov, NIPS 2015
    """
    letters = len(counts(1, 1))

    def make(draw: Draw, length: int = 32, n: tuple[int, int] | None = None) -> Arrays:
        low, high = n or (1, length // sum(counts(1, 1)))
        if high < 1:
            raise Refusal("length", f"length {length} is too short: a text has {sum(counts(1, 1))} symbols at least")
        if low > high:
            raise Refusal("n", f"n is [{low}, {high}]; write [least, most]")
        if sum(counts(high, high)) > length:
            raise Refusal("n", f"n up to {high} takes {sum(counts(high, high))} symbols; make n smaller, or length larger")
        a, b = whole(draw.uniform(2), low, high).T
        ends = np.cumsum(np.stack(counts(a, b), axis=1), axis=1)  # (N, letters)
        place = np.arange(length + 1)
        text = 1 + (place[:, None] >= ends[:, None, :]).sum(axis=2)  # (N, T + 1)
        text[text > letters] = 0
        known = (place > ends[:, free - 1 : free]) & (place <= ends[:, -1:])
        return {"data": text[:, :-1], "label": text[:, 1:], "weight": known[:, 1:].astype(np.float32)}

    return Task(make, lambda **keys: dict.fromkeys(("data", "label"), ["end", *LETTERS[:letters]]))


def adding(draw: Draw, length: int = 50) -> Arrays:
    """data (T, 2): numbers from [0, 1), and marks: 1 at a place of the first half and at one of the second, else 0
    label: the sum of the two marked numbers                                  Hochreiter & Schmidhuber 1997"""
    if length < 2:
        raise Refusal("length", f"length is {length}; two numbers are added")
    x, (u, v) = draw.many(length), draw.uniform(2).T
    rows, half = np.arange(len(x)), length // 2
    first, second = whole(u, 0, half - 1), whole(v, half, length - 1)
    marks = np.zeros_like(x)
    marks[rows, first] = marks[rows, second] = 1
    return {"data": np.stack([x, marks], axis=2), "label": x[rows, first] + x[rows, second]}


def copy(draw: Draw, length: int = 10, gap: int = 20, symbols: int = 8) -> Arrays:
    """data (2 length + gap): symbols 1 .. `symbols`, `length` of them; 0, but `symbols` + 1 last of the gap: say it; then 0
    label (2 length + gap): 0, and the symbols at the end                     Hochreiter & Schmidhuber 1997"""
    said = whole(draw.many(length), 1, symbols)
    blank = np.zeros((len(said), length + gap), np.int64)
    data = np.concatenate([said, blank], axis=1)
    data[:, length + gap - 1] = symbols + 1
    return {"data": data, "label": np.concatenate([blank, said], axis=1)}


def copy_names(symbols: int, **keys: Any) -> dict[str, list[str]]:
    said = ["blank", *map(str, range(1, symbols + 1))]
    return {"data": [*said, "say"], "label": said}


def parity(draw: Draw, length: int = 16) -> Arrays:
    """data (T): 0 or 1, alike often; label: 1 where the ones are odd in number"""
    bits = whole(draw.many(length), 0, 1)
    return {"data": bits.astype(np.float32), "label": bits.sum(axis=1) % 2}


def two_moons(draw: Draw, noise: float = 0.1) -> Arrays:
    """first (cos a, sin a), second (1 - cos a, 1/2 - sin a), a from [0, pi), with normal noise; the classes take turns"""
    a, label = np.pi * draw.uniform()[:, 0], np.asarray(draw.indices) % 2
    point = np.where(label == 0, (np.cos(a), np.sin(a)), (1 - np.cos(a), 0.5 - np.sin(a))).T  # (N, 2)
    return {"data": point + noise * normal(draw), "label": label}


def spirals(draw: Draw, noise: float = 0.02, turns: float = 2.0) -> Arrays:
    """r (cos a, sin a), r from [0, 1), a = 2 pi turns r, in the second half a turn further; with normal noise"""
    r, label = draw.uniform()[:, 0], np.asarray(draw.indices) % 2
    a = 2 * np.pi * turns * r + np.pi * label
    return {"data": (r * (np.cos(a), np.sin(a))).T + noise * normal(draw), "label": label}


def two_classes(**keys: Any) -> dict[str, list[str]]:
    return {"label": CLASSES}


TASKS = {
    "an_bn": language(lambda n, m: [n, n], 1),
    "an_bn_cn": language(lambda n, m: [n, n, n], 1),
    "an_bn_cn_dn": language(lambda n, m: [n, n, n, n], 1),
    "an_b2n": language(lambda n, m: [n, 2 * n], 1),
    "an_bm_cnm": language(lambda n, m: [n, m, n + m], 2),
    "adding": Task(adding),
    "copy": Task(copy, copy_names),
    "parity": Task(parity, lambda **keys: {"label": ["even", "odd"]}),
    "two_moons": Task(two_moons, two_classes),
    "spirals": Task(spirals, two_classes),
}
