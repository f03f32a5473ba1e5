"""base: FILE, a config that another one is laid over: sections merge key by key, the lines of the net by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain.errors import did_you_mean
from dltrain.marks import Document, Key, Mark, load
from dltrain.overrides import absolute, include, is_file

PLACES = ("after", "before", "delete")


def lay_over(document: Document, seen: tuple[Path, ...] = ()) -> None:
    """Puts what the base says under what this document says; marks keep their files."""
    value = document.value
    if not isinstance(value, dict):
        return
    if "base" not in value:
        strays(document)
        return
    said = value.pop("base")
    file = Path(str(absolute(document, said, ("base",))))
    if not isinstance(said, str) or not is_file(file):
        document.wrong(("base",), f"base: there is no file {str(file)[:300]}; give a path relative to this file")
        return
    if file in seen:
        document.wrong(("base",), f"base: {file.name} leads back to itself; write the config out in one of the files")
        return
    below = load(file)
    include(below)
    lay_over(below, (*seen, file))
    document.mistakes |= {
        (below.file if not place[0] else place[0], *place[1:]): words for place, words in below.mistakes.items()
    }
    document.lost |= below.lost
    if isinstance(below.value, dict):
        Laying(document, below).finish()


def strays(document: Document) -> None:
    """after, before and delete place lines among those of a base; without one they mean nothing."""
    net = document.value.get("net")
    for index, item in enumerate(net if isinstance(net, list) else ()):
        for word in PLACES if isinstance(item, dict) else ():
            if word in item:
                document.wrong(
                    ("net", index, word), f"net: '{word}' places a line in the net of a base; there is no base", key=True
                )


class Laying:
    """One document over another: the values, and the marks that go with them."""

    def __init__(self, over: Document, under: Document) -> None:
        self.over, self.under = over, under
        self.moved: list[tuple[Document, Key, Key]] = []  # whose, from where, to where
        self.value = self.both(over.value, under.value, ())

    def finish(self) -> None:
        marks: dict[Key, Mark] = {(): self.over.mark(())}
        keys: dict[Key, Mark] = {}
        for document, source, target in self.moved:
            for made, found in ((marks, document.marks), (keys, document.keys)):
                made.update({(*target, *key[len(source) :]): mark for key, mark in found.items() if key[: len(source)] == source})
        self.over.value, self.over.marks, self.over.keys = self.value, marks, keys

    def take(self, document: Document, value: Any, source: Key, target: Key) -> Any:
        """A value as it stands in one of the two."""
        self.moved.append((document, source, target))
        return value

    def both(self, over: Any, under: Any, path: Key) -> Any:
        """Mappings merge key by key; of anything else the upper one holds."""
        if path == ("net",) and isinstance(over, list) and isinstance(under, list):
            return self.lines(over, under)
        mappings = isinstance(over, dict) and isinstance(under, dict)
        if not mappings or over.get("type", under.get("type")) != under.get("type"):
            return self.take(self.over, over, path, path)
        self.moved.insert(0, (self.under, path, path))  # what is not overridden below
        made = dict(under)
        for key, value in over.items():
            made[key] = (
                self.both(value, under[key], (*path, key))
                if key in under
                else self.take(self.over, value, (*path, key), (*path, key))
            )
        return made

    def lines(self, over: list[Any], under: list[Any]) -> list[Any]:
        """A line whose name the base has changes that one; a new one comes last, or where after: or before: says."""
        placed: list[tuple[Any, list[tuple[Document, Key]]]] = [
            (item, [(self.under, ("net", index))]) for index, item in enumerate(under)
        ]
        for index, item in enumerate(over):
            path: Key = ("net", index)
            names = [line.get("name") if isinstance(line, dict) else None for line, _ in placed]
            name = item.get("name") if isinstance(item, dict) else None
            if name is not None and name in names:
                at = names.index(name)
                self.change(placed, at, item, path)
            elif isinstance(item, dict) and item.get("delete"):
                self.over.wrong(
                    (*path, "name"), f"net: delete: the base has no line '{name}'; {did_you_mean(name, filter(None, names))}"
                )
            else:
                self.insert(placed, item, path, names)
        made = []
        for place, (item, sources) in enumerate(placed):
            self.moved += [(document, source, ("net", place)) for document, source in sources]
            made.append(item)
        return made

    def change(self, placed: list[Any], at: int, item: dict[str, Any], path: Key) -> None:
        """Lays a line over the one of its name, removes it, or moves it."""
        under, sources = placed[at]
        if item.get("delete"):
            del placed[at]
            return
        kept = under if item.get("type", under.get("type")) == under.get("type") else {}
        made = {**kept, **{key: value for key, value in item.items() if key not in PLACES}}
        placed[at] = (made, [*sources, (self.over, path)])
        if "after" in item or "before" in item:
            line = placed.pop(at)
            self.insert(placed, item, path, [one.get("name") for one, _ in placed], line)

    def insert(self, placed: list[Any], item: Any, path: Key, names: list[Any], line: Any = None) -> None:
        word = next((word for word in ("after", "before") if isinstance(item, dict) and word in item), None)
        made = {key: value for key, value in item.items() if key not in PLACES} if isinstance(item, dict) else item
        line = line or (made, [(self.over, path)])
        if word is None:
            placed.append(line)
        elif item[word] not in names:
            words = f"net: {word}: the base has no line '{item[word]}'; {did_you_mean(item[word], filter(None, names))}"
            self.over.wrong((*path, word), words)
        else:
            placed.insert(names.index(item[word]) + (word == "after"), line)
