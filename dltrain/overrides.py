"""--set a.b=value and sections that name a file: what changes a text before it is checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dltrain.errors import ConfigError, did_you_mean
from dltrain.marks import Document, Key, Mark, load, parse

MAIN = {"source": "type", "lr_policy": "type", "filler": "type", "then": "type",
        "display": "interval", "test": "interval", "snapshot": "interval", "weight_ema": "decay", "weights": "file",
        "sampling": "type", "workers": "threads"}  # fmt: skip
SECTIONS = ("net", "data", "solver")


def include(document: Document) -> None:
    """`net: FILE` (data, solver alike): the section of that name of FILE, or FILE as a whole, stands here."""
    if not isinstance(document.value, dict):
        return
    for section in SECTIONS:
        seen: list[Path] = []
        while isinstance(document.value.get(section), str):
            path = Path(absolute(document, document.value[section], (section,)))
            trouble = f"there is no file {str(path)[:300]}; give a path relative to this file" if not is_file(path) else ""
            if path in seen:
                trouble = f"{path.name} leads back to itself; write the section out in one of the files"
            if trouble:
                document.wrong((section,), f"{section}: {trouble}")
                document.lost.add(section)
                del document.value[section]
                break
            seen.append(path)
            take(document, section, path)


def take(document: Document, section: str, path: Path) -> None:
    """Puts a section of another file in its place, with the marks that it has there."""
    other = load(path)
    whole = isinstance(other.value, dict) and section in other.value
    start: Key = (section,) if whole else ()
    document.value[section] = other.value[section] if whole else other.value
    for marks, more in ((document.marks, other.marks), (document.keys, other.keys)):
        marks.update({(section, *key[len(start) :]): mark for key, mark in more.items() if key[: len(start)] == start})
    for _, line, column, words in other.mistakes:
        document.note(Mark(other.file, line, column), words)


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def absolute(document: Document, value: Any, path: Key) -> Any:
    """A path, or a list or a mapping of paths, each seen from where it was written."""
    if isinstance(value, list):
        return [absolute(document, item, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, dict):
        return {name: absolute(document, item, (*path, name)) for name, item in value.items()}
    mark = document.mark(path)
    folder = Path.cwd() if mark.file.startswith("--set") else Path(mark.file).parent
    return os.path.abspath(folder / Path(value).expanduser()) if isinstance(value, str) else value


def override(document: Document, settings: tuple[str, ...]) -> None:
    """Applies each `a.b=value`; layers are found by name: net.conv1.num_output=32."""
    for setting in settings:
        words, equals, text = setting.partition("=")
        if not equals or not all(word.strip() for word in words.split(".")):
            raise ConfigError(f"--set {setting}: write --set section.key=value")
        read = parse(text, f"--set {setting}")
        read.raise_mistakes()
        value = read.value
        if not isinstance(document.value, dict):
            document.value = {}
        path: Key = ()
        node: Any = document.value
        *way, last = [word.strip() for word in words.split(".")]
        for word in way:
            node, path = enter(node, path, word, setting)
        place = find(node, last, setting)
        if isinstance(node, list) and place == len(node):
            raise ConfigError(f"--set {setting}: there is no '{last}'; {did_you_mean(last, names(node))}")
        node[place] = value
        mark = Mark(f"--set {setting}")
        forget(document, (*path, place))
        for length in range(1, len(path) + 2):  # sections that --set has made stand where it does
            made = (*path, place)[:length]
            if made not in document.marks:
                document.marks[made] = document.keys[made] = mark
        include(document)


def enter(node: Any, path: Key, word: str, setting: str) -> tuple[Any, Key]:
    """One step down; a bare choice becomes a mapping (mnist: {type: mnist}), a missing section an empty one."""
    place = find(node, word, setting)
    if isinstance(node, dict):
        inner = node.get(word)
        if inner is None:
            node[word] = {}
        elif isinstance(inner, str | int | float) and word in MAIN:
            node[word] = {MAIN[word]: inner}
    elif place == len(node):
        raise ConfigError(f"--set {setting}: there is no layer '{word}'; {did_you_mean(word, names(node))}")
    elif isinstance(node[place], str):
        node[place] = {"type": node[place]}
    return node[place], (*path, place)


def find(node: Any, word: str, setting: str) -> Any:
    """The key of a mapping, or the index of a list's element by name or number."""
    if isinstance(node, dict):
        return word
    if isinstance(node, list):
        if word.isdigit() and int(word) < len(node):
            return int(word)
        return next((index for index, item in enumerate(node) if isinstance(item, dict) and item.get("name") == word), len(node))
    raise ConfigError(f"--set {setting}: '{word}' lies inside a plain value; nothing can be set there")


def names(node: list[Any]) -> list[str]:
    return [str(item["name"]) for item in node if isinstance(item, dict) and "name" in item]


def forget(document: Document, path: Key) -> None:
    """The marks of what has been replaced."""
    for marks in (document.marks, document.keys):
        for key in [key for key in marks if key[: len(path)] == path]:
            del marks[key]
