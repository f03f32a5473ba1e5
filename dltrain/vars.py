"""Names for expressions: vars, what the data are known to have, how long the run is."""

from __future__ import annotations

from typing import Any

from dltrain.checks import show
from dltrain.feed import Feed
from dltrain.marks import Document, Key
from dltrain.values import NAME, Unworkable, work


def read_vars(document: Document, value: Any) -> dict[str, Any]:
    """vars: {width: 64, twice: $(width * 2)}: each may use those above it."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        document.wrong(("vars",), f"vars: must be a mapping {{name: value}}, not {show(value)}")
        return {}
    names: dict[str, Any] = {}
    for name, said in value.items():
        if not NAME.fullmatch(name) or "." in name:
            document.wrong(("vars", name), f"vars: '{name}' cannot be a name; use letters, digits and _", key=True)
        elif isinstance(said, dict):
            document.wrong(("vars", name), f"vars: '{name}' must be a number, a text or a list, not {show(said)}")
        try:
            names[name] = work(said, ("vars", name), names)
        except Unworkable as error:
            document.wrong(error.path, f"vars: {error}")
    return names


def worked(document: Document, section: str, names: dict[str, Any]) -> Any:
    """A section with its expressions worked out; what cannot be is noted, and stays as it is."""
    return walk(document, document.value.get(section), (section,), names)


def walk(document: Document, value: Any, path: Key, names: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: walk(document, item, (*path, key), names) for key, item in value.items()}
    if isinstance(value, list):
        return [walk(document, item, (*path, place), names) for place, item in enumerate(value)]
    try:
        return work(value, path, names)
    except Unworkable as error:
        document.wrong(path, f"{path[0]}: {error}")
        document.unworkable.add(value)
        return value


def named(feed: Feed | None) -> dict[str, Any]:
    """What expressions may know of the data: data.classes of the label, data.vocabulary of the data."""
    if feed is None:  # told already; what hangs on it shall not be told again
        return {"data.classes": 2, "data.vocabulary": 2}
    classes: dict[str, int] = getattr(feed.source, "classes", {})
    first = next(iter(feed.source.fields), "")
    labels = [count for field, count in classes.items() if field != first]
    found = {"data.classes": classes.get("label", labels[0] if labels else None), "data.vocabulary": classes.get(first)}
    return {name: count for name, count in found.items() if count is not None}


def ending(solver: Any) -> dict[str, Any]:
    """solver.max_iter, where it is a number."""
    length = solver.get("max_iter") if isinstance(solver, dict) else None
    return {"solver.max_iter": length} if isinstance(length, int) else {}
