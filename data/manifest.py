"""What dltrain's own stores keep of the source that they were made of, so that a net trains from them as it did from that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Shape, Source

FORMAT = 1
NAME = "dltrain/manifest"  # of the dataset, or of the key, that holds it
LARGEST = 1 << 30  # bytes
DEEPEST = 8  # axes of a field


@dataclass
class Manifest:
    """Fields, classes, names, splits and facts as a source has them; `ids` is what it calls its samples, where it calls them.

    `digest` is the SHA-256 of all samples in order, as the net reads them.
    """

    fields: dict[str, Shape]
    count: int
    splits: dict[str, Any]
    classes: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, list[Any]] = field(default_factory=dict)
    ids: list[str] | None = None
    digest: str = ""

    @classmethod
    def of(cls, source: Source) -> Manifest:
        """Of a source that is open."""
        called = type(source).identify is not Source.identify
        return cls(
            source.fields,
            len(source),
            {name: np.asarray(rows) for name, rows in source.splits.items()},
            dict(getattr(source, "classes", {})),
            dict(getattr(source, "names", {})),
            {name: [plain(value) for value in values] for name, values in getattr(source, "facts", {}).items()},
            [source.identify(index) for index in range(len(source))] if called else None,
        )

    def hand_to(self, source: Source) -> None:
        """Makes a source what the manifest says."""
        source.fields, source.splits, source.classes, source.names = self.fields, self.splits, self.classes, self.names
        source.facts = self.facts  # type: ignore[attr-defined]

    def identify(self, index: int, otherwise: str) -> str:
        return self.ids[index] if self.ids is not None else otherwise

    def text(self) -> bytes:
        return json.dumps(
            {
                "dltrain": FORMAT,
                "fields": {name: {"shape": list(shape), "dtype": shape.dtype} for name, shape in self.fields.items()},
                "count": self.count,
                "splits": {name: runs(rows) for name, rows in self.splits.items()},
                "classes": {name: int(count) for name, count in self.classes.items()},
                "names": self.names,
                "facts": self.facts,
                "ids": self.ids,
                "digest": self.digest,
            },
            ensure_ascii=False,
        ).encode()


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def runs(rows: Any) -> list[list[int]]:
    """Indices as [first, end) runs: most splits are a few of them."""
    rows = np.asarray(rows, np.int64)
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [[int(part[0]), int(part[-1]) + 1] for part in np.split(rows, breaks) if len(part)]


def read(text: bytes, where: str) -> Manifest:
    """From its bytes; DataError where they are no manifest, or one that contradicts itself."""
    try:
        said = json.loads(text)
        if said["dltrain"] != FORMAT:
            raise ValueError(f"it is of format {said['dltrain']!r}, where {FORMAT} is known")
        count = whole(said["count"], 1, 2**48)
        made = Manifest(
            {named(name): shape_of(each) for name, each in said["fields"].items()},
            count,
            {named(name): indices(each, count) for name, each in said["splits"].items()},
            {str(name): whole(each, 1, 2**31) for name, each in said["classes"].items()},
            {str(name): [str(word) for word in words] for name, words in said["names"].items()},
            {str(name): listed(values, count) for name, values in said["facts"].items()},
            None if said["ids"] is None else [str(word) for word in listed(said["ids"], count)],
            str(said["digest"]),
        )
        if not made.fields:
            raise ValueError("it has no fields")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        words = str(error).partition("\n")[0][:100]
        raise DataError(f"{where}: its manifest is damaged ({words}); convert the data once more") from None
    return made


def whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r} is no number from {low} to {high}")
    return value


def named(name: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", str(name)):
        raise ValueError(f"'{str(name)[:40]}' is no name")
    return str(name)


def shape_of(said: Any) -> Shape:
    if said["dtype"] not in ("float", "index") or len(said["shape"]) > DEEPEST:
        raise ValueError(f"{said} is no field")
    return Shape((whole(size, ANY_SIZE, 2**31) for size in said["shape"]), said["dtype"])


def indices(said: Iterable[Any], count: int) -> Any:
    """From runs; no index beyond the samples, and no more of them than there are."""
    parts, left = [np.empty(0, np.int64)], count
    for first, end in said:
        left -= whole(end, whole(first, 0, count) + 1, count) - first
        if left < 0:
            raise ValueError("a split has more samples than there are")
        parts.append(np.arange(first, end))
    return np.concatenate(parts)


def listed(values: Any, count: int) -> list[Any]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"a list does not have the {count:,} values it should")
    return values
