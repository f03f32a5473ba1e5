"""Reads YAML 1.2 (core schema) into plain values, and remembers the line and column of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dltrain.errors import ConfigError, Mistakes

Key = tuple[str | int, ...]  # the way to a value: ("net", 2, "kernel_size")

MAX_DEPTH = 60
MAX_VALUES = 100_000  # aliases expanded: a small text must not become a large object


@dataclass(frozen=True)
class Mark:
    """A place in a text; lines and columns count from 1."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Origin:
    """Where a flat line of the net is written, and the words for where its block is used."""

    path: Key
    used: str = ""


@dataclass
class Document:
    """A text's values, the mark of each value and of each key, and what is wrong so far."""

    file: str
    value: Any = None
    marks: dict[Key, Mark] = field(default_factory=dict)
    keys: dict[Key, Mark] = field(default_factory=dict)
    mistakes: dict[tuple[str, int, int, str], str] = field(default_factory=dict)  # by file, line, column and words
    origins: dict[int, Origin] = field(default_factory=dict)  # of flat lines: ("lines", 3, "type") stands where it is written
    unworkable: set[str] = field(default_factory=set)  # expressions that could not be worked out: told already
    lost: set[str] = field(default_factory=set)  # sections whose file could not be read: told already

    def mark(self, path: Key, key: bool = False) -> Mark:
        """Where the value at `path` (or, with `key`, its key) stands; the nearest thing around it otherwise."""
        path = self.written(path)
        if key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]]
        return Mark(self.file)

    def written(self, path: Key) -> Key:
        """The way to what a flat line of the net was made from."""
        return (*self.origins[int(path[1])].path, *path[2:]) if path[:1] == ("lines",) and len(path) > 1 else path

    def wrong(self, path: Key, message: str, key: bool = False) -> None:
        """Notes a mistake, in one line; `raise_mistakes` tells them all, file by file, in the order of the text."""
        used = self.origins[int(path[1])].used if path[:1] == ("lines",) and len(path) > 1 else ""
        self.note(self.mark(path, key), message + used)

    def note(self, mark: Mark, message: str) -> None:
        file = "" if mark.file == self.file else mark.file  # its own first
        words = message.replace("\n", "\\n").replace("\r", "\\r")
        self.mistakes.setdefault((file, mark.line, mark.column, words), f"{mark}: {words}")

    def raise_mistakes(self) -> None:
        if self.mistakes:
            raise Mistakes("\n".join(self.mistakes[place] for place in sorted(self.mistakes)))


CORE: list[tuple[str, Callable[[str], Any]]] = [  # YAML 1.2.2, section 10.3.2
    (r"null|Null|NULL|~|", lambda text: None),
    (r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+", lambda text: int(text[2:], 8)),
    (r"0x[0-9a-fA-F]+", lambda text: int(text, 16)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(inf|Inf|INF)", lambda text: float(text.replace(".", ""))),
    (r"\.(nan|NaN|NAN)", lambda text: float("nan")),
]
PATTERNS = [(re.compile(pattern), make) for pattern, make in CORE]


def scalar(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema: `1e-4` is a number; `on`, `1:30`, `2020-01-01` are strings."""
    for pattern, make in PATTERNS:
        if pattern.fullmatch(text):
            return make(text) if len(text) < 400 else text
    return text


PLAIN = "plain"


class Loader(yaml.SafeLoader):
    """Leaves untagged scalars untyped: YAML 1.2's core schema decides, not PyYAML's table of 1.1."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        untagged = kind is yaml.ScalarNode and implicit[0]  # neither quoted nor "!"
        return PLAIN if untagged else super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


def load(path: str | Path) -> Document:
    """Reads a file; a file that cannot be read, or is not YAML, is a ConfigError."""
    file = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; give the path of a config or of a run") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text ({error}); a config is a UTF-8 text file") from None
    return parse(text, file)


def parse(text: str, file: str = "<text>") -> Document:
    """Reads a text.  Keys given twice, strange keys and endless aliases are noted as mistakes."""
    document = Document(file)
    try:
        root = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file)
        raise ConfigError(f"{mark}: this is not YAML: {yaml_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(file, before.count("\n") + 1, error.position - before.rfind("\n"))
        strange = f"the character {error.character!r} cannot stand in a text"
        raise ConfigError(f"{mark}: this is not YAML: {strange}; remove it") from None
    except RecursionError:
        raise ConfigError(f"{file}: the text nests deeper than any config does; check its brackets and its indentation") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: this is not YAML: {str(error).splitlines()[0]}; check it with a YAML editor") from None
    if root is not None:
        document.value = Reader(document).read(root, ())
    return document


def yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's complaint, with the way out of the commonest ones."""
    problem = error.problem or "the structure is broken"
    if "alias" in problem or "alias" in (error.context or ""):
        return f'{problem}; quote a name that starts with * ("*.bias")'
    if "character '\\t'" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second ':' stands in this line; quote the value, or check the indentation"
    return f"{problem}; check brackets, quotes and indentation"


class Reader:
    """Walks the nodes of one text, making values and marks."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def read(self, node: yaml.Node, path: Key) -> Any:
        mark = Mark(self.document.file, node.start_mark.line + 1, node.start_mark.column + 1)
        self.document.marks[path] = mark
        self.count += 1
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            raise ConfigError(f"{mark}: the text grows without end here (aliases inside aliases); write it out")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        plain = getattr(node, "style", None) is None and node.tag == PLAIN
        return scalar(node.value) if plain else node.value

    def mapping(self, node: yaml.MappingNode, path: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = self.key(key_node)
            where = (*path, name)
            mark = Mark(self.document.file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if name in values:
                first = self.document.keys[where].line
                self.document.note(mark, f"'{name}' stands twice (first in line {first}); keep one")
                continue
            self.document.keys[where] = mark
            values[name] = self.read(value_node, where)
        return values

    def key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        mark = Mark(self.document.file, node.start_mark.line + 1, node.start_mark.column + 1)
        raise ConfigError(f"{mark}: a list or mapping stands as a key; a key is one word")
