"""The data section of a config: from its text to a feed with its source opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dltrain.checks import check, show
from dltrain.errors import DataError, Refusal
from dltrain.feed import Feed
from dltrain.marks import Document, Key
from dltrain.overrides import absolute
from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.sections import DataKeys, Part, Split
from dltrain.source import Shape, Source

SPLITS = ("train", "val", "test")


def anchor(document: Document) -> None:
    """Makes the paths of the data section absolute: in a file they are relative to it, else to the working folder."""
    data = document.value.get("data") if isinstance(document.value, dict) else None
    if not isinstance(data, dict):
        return
    extra = data.get("extra") if isinstance(data.get("extra"), dict) else {}
    inner: dict[Key, Any] = {("data", name): data[name] for name in SPLITS if isinstance(data.get(name), dict)}
    inner |= {("data", "extra", name): part for name, part in (extra or {}).items() if isinstance(part, dict)}
    whole: dict[Key, Any] = {("data",): data}
    for path, part in {**whole, **inner}.items():
        anchor_source(document, part.get("source"), (*path, "source"))
        for number, step in enumerate(part["transform"] if isinstance(part.get("transform"), list) else ()):
            anchor_step(document, step, (*path, "transform", number))
    for path, part in inner.items():
        if isinstance(part.get("list"), str):
            part["list"] = absolute(document, part["list"], (*path, "list"))


def anchor_source(document: Document, given: Any, path: Key) -> None:
    """The paths of a source, and those of a source inside it."""
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in SOURCES:
        return
    for key in set(SOURCES[kind].paths) & set(given):
        given[key] = absolute(document, given[key], (*path, key))
    for key, value in given.items():
        if key not in SOURCES[kind].paths:
            anchor_source(document, value, (*path, key))


def anchor_step(document: Document, given: Any, path: Key) -> None:
    """The paths of a transform step."""
    name = next((word for word in given if word in TRANSFORMS), None) if isinstance(given, dict) else None
    if name is None:
        return
    for key in getattr(TRANSFORMS[name], "paths", ()):
        word = name if key == next(iter(TRANSFORMS[name].__dataclass_fields__)) else key
        if word in given:
            given[word] = absolute(document, given[word], (*path, word))


Promise = Callable[[Source], dict[str, Shape]]


def read_feed(
    document: Document, value: Any, seed: int, saved: Any, promise: Promise | None = None
) -> tuple[Feed | None, DataError | None]:
    """The feed (the net cannot be checked without shapes), and what is wrong with the data.

    With `promise` the source is not opened: that tells which fields it has.
    """
    if "data" in document.lost:
        return None, None
    if not isinstance(value, dict):
        document.wrong(("data",) if value is not None else (), "config: needs data; add data: {source: digits, batch_size: 64}")
        return None, None
    keys = read_section(document, value)
    if keys is None:
        return None, None
    feed = Feed(keys, seed)
    try:
        if promise is not None:
            feed.sketch(promise(feed.source), saved)
        else:
            feed.open("val" in value and value["val"] is None, saved)
    except Refusal as refusal:
        document.wrong(place(refusal.key, keys), f"data: {refusal}")
        return None, None
    except DataError as error:
        return None, error  # what is wrong in the text is told first
    return feed, None


def read_section(document: Document, value: dict[str, Any]) -> DataKeys | None:
    """All that the section says; None, with the mistakes noted, where something of it is wrong."""
    keys, parts = read_keys(document, value), read_parts(document, value)
    if keys is None or None in parts.values():
        return None
    for name in SPLITS:
        setattr(keys, name, parts.pop(name, None))
    keys.extra = parts  # type: ignore[assignment]
    return keys


def read_keys(document: Document, value: dict[str, Any]) -> DataKeys | None:
    """What holds for every split."""
    made: DataKeys | None = check(
        document, DataKeys, {key: item for key, item in value.items() if key not in (*SPLITS, "extra")}, ("data",), "data"
    )
    return made


def read_parts(document: Document, value: dict[str, Any]) -> dict[str, Split | None]:
    """What differs for single splits; None for one that is wrong."""
    said: dict[Key, Any] = {("data", name): value[name] for name in SPLITS if value.get(name) is not None}
    extra = value.get("extra")
    if isinstance(extra, dict):
        said |= {("data", "extra", str(name)): part for name, part in extra.items()}
    elif extra is not None:
        document.wrong(("data", "extra"), f"data: extra must be a mapping {{NAME: {{…}}}}, not {show(extra)}")
    parts: dict[str, Split | None] = {}
    for path, part in said.items():
        name = str(path[-1])
        parts[name] = check(document, Split if name == "train" else Part, part, path, f"data: {name}")
        if len(path) == 3 and (name in SPLITS or not name.isidentifier()):
            document.wrong(
                path, f"data: extra: '{name}' cannot be the name of a further split; use letters, digits and _", key=True
            )
            parts[name] = None
    return parts


def place(key: str, keys: DataKeys) -> Key:
    """Where the key of a refusal stands: 2.size of the steps, test.0.size of those of a split, val.hold_out, sampling."""
    words: list[Any] = [int(word) if word.isdigit() else word for word in key.split(".") if word]
    path: Key = ("data",)
    if words and words[0] in keys.extra:
        path = ("data", "extra", words.pop(0))
    elif words and words[0] in SPLITS:
        path = ("data", words.pop(0))
    return (*path, "transform", *words) if words and isinstance(words[0], int) else (*path, *words)
