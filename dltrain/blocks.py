"""Blocks: named pieces of net with parameters and inputs, written in a config or taken from another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dltrain.errors import did_you_mean
from dltrain.marks import Document, Key, load
from dltrain.overrides import absolute, is_file
from dltrain.registry import LAYERS
from dltrain.values import Unworkable, work

TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "list": (list,)}
KEYS = ("params", "inputs", "net")
OF_FILES = ("file", "to")


@dataclass
class Block:
    """blocks: {NAME: {params: {n: int, s: 1}, inputs: [in], net: […]}}: a type is needed, a value is the default."""

    name: str
    net: list[Any]
    path: Key  # of its net
    params: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=lambda: ["in"])


def read_blocks(document: Document) -> dict[str, Block]:
    """The blocks of a config; what is wrong with one is noted."""
    given = document.value.get("blocks")
    if given is None:
        return {}
    if not isinstance(given, dict):
        document.wrong(("blocks",), "blocks: must be a mapping {NAME: {params: {…}, net: […]}}")
        return {}
    blocks: dict[str, Block] = {}
    for name, said in list(given.items()):
        path: Key = ("blocks", name)
        try:
            if name in LAYERS:
                raise Unworkable(f"is the name of a layer type; choose another, such as my_{name.lower()}", (), True)
            said = from_file(document, said, path) if isinstance(said, dict) and "file" in said else said
            blocks[name] = read_block(name, said, path)
        except Unworkable as error:
            document.wrong((*path, *error.path), f"block '{name}': {error}", error.key)
    return blocks


def read_block(name: str, said: Any, path: Key) -> Block:
    if not isinstance(said, dict):
        raise Unworkable("must be a mapping {params: {…}, inputs: […], net: […]}", ())
    for key in said:
        if key not in KEYS:
            raise Unworkable(f"unknown key '{key}'; {did_you_mean(key, [*KEYS, *OF_FILES])}", (key,), True)
    net, params, inputs = said.get("net"), said.get("params") or {}, said.get("inputs", ["in"])
    if not isinstance(net, list) or not net:
        raise Unworkable("needs a net, a list of layers", ("net",))
    if not isinstance(params, dict):
        raise Unworkable("params must be a mapping {n: int, s: 1}: a type is needed, a value is the default", ("params",))
    if not isinstance(inputs, list) or not all(isinstance(one, str) for one in inputs):
        raise Unworkable("inputs must be a list of names, [in]", ("inputs",))
    return Block(name, net, (*path, "net"), params, inputs)


def from_file(document: Document, said: dict[str, Any], path: Key) -> dict[str, Any]:
    """The net of another config up to a blob, as a block; it stands in the document from now on, as if it were written here."""
    for key in said:
        if key not in OF_FILES:
            words = (
                "is not yet built; load them with weights:" if key == "weights" else f"is unknown; {did_you_mean(key, OF_FILES)}"
            )
            raise Unworkable(f"'{key}' {words}", (key,), True)
    file = Path(str(absolute(document, said["file"], (*path, "file"))))
    if not is_file(file):
        raise Unworkable(f"there is no file {file}; give a path relative to this file", ("file",))
    other = load(file)
    net = other.value.get("net") if isinstance(other.value, dict) else None
    if not isinstance(net, list):
        raise Unworkable(f"{file} has no net of its own", ("file",))
    names = [item.get("name") if isinstance(item, dict) else None for item in net]
    if "to" in said and said["to"] not in names:
        raise Unworkable(f"{file} has no line '{said['to']}'; {did_you_mean(said['to'], [n for n in names if n])}", ("to",))
    cut = net[: names.index(said["to"]) + 1] if "to" in said else net
    start: Key = ("net",)
    for marks, more in ((document.marks, other.marks), (document.keys, other.keys)):
        marks.update({(*path, "net", *key[1:]): mark for key, mark in more.items() if key[:1] == start})
    for name, block in (other.value.get("blocks") or {}).items():
        document.value["blocks"].setdefault(name, block)
    made = {"inputs": ["data"], "net": cut}
    document.value["blocks"][path[-1]] = made
    return made


def arguments(block: Block, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a block's parameters; Unworkable where one is missing, unknown, or of another type."""
    for name in given:
        if name not in block.params:
            raise Unworkable(f"block '{block.name}' has no parameter '{name}'; {did_you_mean(name, block.params)}", (name,), True)
    values: dict[str, Any] = {}
    for name, said in block.params.items():
        kinds = TYPES.get(said) if isinstance(said, str) else None
        if name not in given and kinds is not None:
            raise Unworkable(f"block '{block.name}' needs '{name}'; add {name}: …", ())
        values[name] = given[name] if name in given else work(said, (), {**known, **values})
        wanted = kinds or (TYPES["float"] if type(said) in (int, float) else None)
        if wanted is not None and (
            not isinstance(values[name], wanted) or (isinstance(values[name], bool) and bool not in wanted)
        ):
            kind = said if kinds else "a number"
            raise Unworkable(f"'{name}' must be {kind}, not {values[name]!r}", (name,))
    return values
