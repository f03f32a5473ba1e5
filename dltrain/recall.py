"""What a run remembers of its data, data.json, so that a trained net can be used where they are gone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dltrain.errors import SnapshotError
from dltrain.feed import Feed
from dltrain.source import Shape

FILE = "data.json"


@dataclass
class Memory:
    """The fields of a source as it gives them, the number of classes and their names."""

    fields: dict[str, Shape] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)


def record(feed: Feed) -> dict[str, Any]:
    """What is written of a feed; besides, for people, how many samples each split had."""
    source = feed.source
    return {
        "source": feed.keys.source.type,
        "fields": {name: {"shape": list(shape), "type": shape.dtype} for name, shape in source.fields.items()},
        "classes": dict(getattr(source, "classes", {})),
        "names": {name: [str(word) for word in words] for name, words in getattr(source, "names", {}).items()},
        "samples": {name: len(rows) for name, rows in feed.splits.items()},
    }


def recall(folder: Path) -> Memory | None:
    """What a run remembers; None for a run that was begun before runs remembered anything."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text("utf-8"))
        fields = {name: Shape(map(int, each["shape"]), each["type"]) for name, each in said["fields"].items()}
        names = {name: [str(word) for word in words] for name, words in said["names"].items()}
        return Memory(fields, {name: int(count) for name, count in said["classes"].items()}, names)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SnapshotError(f"{path}: is damaged ({error}); remove it, and the data will be opened instead") from None
