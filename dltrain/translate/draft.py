"""A config in the making: what an importer has understood, before it is written as YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Part:
    """A line of the net to be.  `bottoms` name blobs: a line's name, line.role for a further top, or a field of the data."""

    name: str
    type: str
    keys: dict[str, Any] = field(default_factory=dict)  # in the order in which they are written; param, share, phase too
    bottoms: list[str] = field(default_factory=list)
    note: str = ""  # a comment behind the line


@dataclass
class Draft:
    """The sections of a config, the weights by their path in a snapshot (data/LAYER/INDEX, states/LAYER.ROLE), and the notes.

    A note says what was not translated, or not exactly, and where.
    """

    name: str
    net: list[Part] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    solver: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)  # further top-level words: seed, weights, engine
    weights: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
