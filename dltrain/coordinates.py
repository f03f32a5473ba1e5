"""dltrain coordinates: where the places of blobs lie in the picture, and by how much one must be cropped to lie on another."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any

from dltrain.console import Console
from dltrain.errors import ConfigError, did_you_mean
from dltrain.receptive import Field, receptive
from dltrain.sketch import View, sketch


@dataclass(frozen=True)
class Between:
    """Place i of one blob lies where place scale i + shift of another does, on one spatial axis.

    Both lie in the picture: place i of a blob is around start + i jump (receptive.py), so of a and b

        scale = jump_a / jump_b        shift = (start_a - start_b) / jump_b

    A convolution or pooling (k, s, p, dilation d) maps its bottom to its top by scale 1 / s, shift (p - d (k - 1) / 2) / s, a
    deconvolution by scale s, shift d (k - 1) / 2 - p, a crop from c by shift -c; one after another they make the start and jump.
    """

    scale: F
    shift: F

    @classmethod
    def of(cls, a: Field, b: Field) -> Between:
        return cls(F(a.jump) / b.jump, (F(a.start) - b.start) / b.jump)

    @property
    def offset(self) -> int:
        """How much of the first blob a Crop leaves out in front, so that both lie on each other; ValueError where none does."""
        if self.scale != 1:
            raise ValueError(f"a step of the one is {number(self.scale)} of the other's; bring both to one size first")
        if self.shift.denominator != 1:
            raise ValueError(f"they lie {number(-self.shift)} apart, which is no whole number; change a pad or a kernel_size")
        if self.shift > 0:
            raise ValueError(f"the first begins {number(self.shift)} within the other; pad the picture more, or crop the other")
        return int(-self.shift)


def number(value: F) -> str:
    return str(value) if value.denominator != 1 else str(int(value))


def between(view: View, first: str, second: str) -> tuple[Between, ...]:
    """One an axis; ConfigError where the two blobs have no places, or not of the same picture."""
    seen = receptive(view)
    for name in (first, second):
        if view.owner(name) not in seen:
            raise ConfigError(f"there is no blob '{name}'; {did_you_mean(name, seen)}")
    a, b = seen[view.owner(first)], seen[view.owner(second)]
    for name, fields in ((first, a), (second, b)):
        if not fields:
            raise ConfigError(f"'{name}' has no places in the picture: it sees all of it, or nothing of it")
    if a is None or b is None or len(a) != len(b):
        raise ConfigError(f"'{first}' and '{second}' have places along {len(a or ())} and {len(b or ())} axes")
    return tuple(Between.of(one, other) for one, other in zip(a, b, strict=True))


def crops(view: View) -> list[dict[str, Any]]:
    """Of each Crop what it says, and what would align its bottoms (None, and why, where nothing does)."""
    made = []
    for name, node in view.nodes.items():
        if node.layer.type != "Crop":
            continue
        first, second = node.reads[0], node.reads[1]
        layer: Any = node.layer
        row = {"name": name, "bottoms": [first, second], "offset": list(layer.starts[layer.axis :]), "aligned": None, "why": ""}
        try:
            row["aligned"] = [one.offset for one in between(view, first, second)]
        except (ValueError, ConfigError) as error:
            row["why"] = str(error)
        made.append(row)
    return made


def coordinates(path: str, blobs: tuple[str, ...], settings: tuple[str, ...], console: Console) -> None:
    """dltrain coordinates CONFIG|RUN [FROM TO]"""
    view = View(sketch(path, settings))
    if blobs:
        told_between(view, blobs[0], blobs[1], console)
        return
    seen = {name: fields for name, fields in receptive(view).items() if fields}
    if not seen:
        raise ConfigError(f"{path}: no blob has places in a picture")
    rows = [{"name": name, "scale": [float(one.jump) for one in fields], "shift": [float(one.start) for one in fields]}
            for name, fields in seen.items()]  # fmt: skip
    found = crops(view)
    wide = max(len(name) for name in seen)
    text = ["place i of a blob lies around scale i + shift of the picture, whose first element is at 0",
            f"{'blob':<{wide}}  {'scale':>8}  {'shift':>8}"]  # fmt: skip
    for name, fields in seen.items():
        scale, shift = (axes([getattr(one, key) for one in fields]) for key in ("jump", "start"))
        text.append(f"{name:<{wide}}  {scale:>8}  {shift:>8}")
    text += [f"{row['name']}: {row['bottoms'][0]} cropped like {row['bottoms'][1]}: {verdict(row)}" for row in found]
    console.result({"blobs": rows, "crops": found}, "\n".join(text))


def told_between(view: View, first: str, second: str, console: Console) -> None:
    """The map from one blob to another, and the offset of a Crop of the first like the second."""
    maps = between(view, first, second)
    made: dict[str, Any] = {"scale": [float(one.scale) for one in maps], "shift": [float(one.shift) for one in maps]}
    scale, shift = axes([one.scale for one in maps]), axes([one.shift for one in maps])
    try:
        made["offset"] = [one.offset for one in maps]
        words = (
            f"{{type: Crop, bottom: [{first}, {second}], offset: {axes([F(one) for one in made['offset']], ', ')}}} aligns them"
        )
    except ValueError as error:
        made["offset"], words = None, f"no Crop aligns them: {error}"
    console.result(made, f"place i of {first} lies where place {scale} i + ({shift}) of {second} does; {words}")


def axes(values: list[F], between: str = " x ") -> str:
    """Once where all axes are alike; in a list of YAML's where they are not."""
    words = [number(value) if between != " x " else f"{float(value):g}" for value in values]
    joined = between.join(words)
    return words[0] if len(set(words)) == 1 else f"[{joined}]" if between != " x " else joined


def verdict(row: dict[str, Any]) -> str:
    if row["aligned"] is None:
        return f"offset {row['offset']}; {row['why']}"
    return f"offset {row['offset']} aligns them" if row["offset"] == row["aligned"] else (
        f"offset {row['offset']}, but {row['aligned']} would align them"
    )  # fmt: skip
