"""What a run remembers of its data, data.json, so that a trained net can be used where they are gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dltrain.errors import SnapshotError
from dltrain.feed import Feed
from dltrain.source import Shape, Source

FILE = "data.json"


def record(feed: Feed) -> dict[str, Any]:
    """The fields of a source as it gives them, its classes and their names, and how many samples each split had."""
    source = feed.source
    fields = {name: {"shape": list(shape), "type": shape.dtype} for name, shape in source.fields.items()}
    return {
        "source": feed.keys.source.type,
        "fields": fields,
        "classes": dict(getattr(source, "classes", {})),
        "names": {field: [str(word) for word in words] for field, words in getattr(source, "names", {}).items()},
        "samples": {name: len(rows) for name, rows in feed.splits.items()},
    }


def remind(source: Source, folder: Path) -> bool:
    """Gives a source that has not been opened what a run remembers of it; False for a run that remembers nothing."""
    path = folder / FILE
    if not path.is_file():
        return False
    try:
        said = json.loads(path.read_text("utf-8"))
        source.fields = {name: Shape(each["shape"], each["type"]) for name, each in said["fields"].items()}
        source.classes, source.names = said["classes"], said["names"]
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SnapshotError(f"{path}: is damaged ({error}); remove it, and the data will be opened instead") from None
    return True
