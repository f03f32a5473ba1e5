"""A config as one flat text: the base laid under, blocks laid out, expressions worked out, a line for each layer."""

from __future__ import annotations

import json
import re
from math import isinf, isnan
from typing import Any

from dltrain.blocks import read_blocks
from dltrain.config import TOP, Config
from dltrain.expand import Expansion, Placed
from dltrain.layer import Layer
from dltrain.marks import scalar
from dltrain.registry import LAYERS
from dltrain.vars import named, read_vars
from dltrain.wiring import Roles

WORD = r"[A-Za-z0-9_./+-]+"
PLAIN = re.compile(rf"(?![-+]){WORD}( {WORD})*|\$[A-Za-z_][A-Za-z0-9_.]*|\$\([A-Za-z0-9_.+*/%() -]*\)")  # needs no quotes
FIRST = ("name", "type")  # keys of a line that stand in columns
LAST = ("bottom", "phase", "param", "share")  # and those that come after the layer's own


def flat_text(config: Config) -> str:
    """A config that makes the same net: names stay, so first values do too."""
    document = config.document
    values = {**config.values, "seed": config.seed}
    names = read_vars(document, document.value.get("vars")) | named(config.feed)
    first = next(iter(config.feed.fields), None)
    expansion = Expansion(document, read_blocks(document), names, first)
    document.raise_mistakes()
    parts = []
    for word in TOP:
        if word == "net":
            parts.append("net:\n" + net_text(expansion.lines, first))
        elif word == "vars":
            if "$" in json.dumps({key: values.get(key) for key in ("data", "solver")}):
                parts.append(section("vars", names_said(names)))
        elif word in values and word != "blocks":
            parts.append(section(word, values[word]))
    return "".join(parts)


def names_said(names: dict[str, Any]) -> dict[str, Any]:
    """The vars: other names have a dot."""
    return {name: value for name, value in names.items() if "." not in name}


def section(word: str, value: Any) -> str:
    """A section, a key a line, what lies deeper in the flow of the line."""
    if not isinstance(value, dict) or not value:
        return f"{word}: {flow(value)}\n"
    return f"{word}:\n" + "".join(f"  {flow(key)}: {flow(item)}\n" for key, item in value.items())


def net_text(placed: list[Placed], above: str | None) -> str:
    """The lines with their names and types in columns."""
    items = []
    for line in placed:
        items.append(item_of(line, above))
        kind = LAYERS[line.item["type"]]
        above = above if kind.kind != "layer" or kind.topless else line.name
    name, kind = (max(len(flow(item[key])) for item in items) + 1 for key in FIRST)
    rows = []
    for item in items:
        rest = [f"{flow(key)}: {flow(value)}" for key, value in item.items() if key not in FIRST]
        head = f"name: {flow(item['name']) + ',':<{name}} type: "
        rows.append(f"  - {{{head}{flow(item['type'])}}}\n" if not rest else
                    f"  - {{{head}{flow(item['type']) + ',':<{kind}} {', '.join(rest)}}}\n")  # fmt: skip
    return "".join(rows)


def item_of(line: Placed, above: str | None) -> dict[str, Any]:
    """The keys of a flat line; its bottom only where it is not the line above."""
    item = escaped({key: value for key, value in line.item.items() if value is not None})
    if "bottom" not in item and line.above != above and reads(LAYERS[item["type"]]):
        item["bottom"] = line.above
    if line.share is not None:
        item["share"] = line.share
    own = [key for key in item if key not in FIRST + LAST]
    return {key: item[key] for key in (*FIRST, *own, *LAST) if key in item}


def reads(kind: type[Layer]) -> bool:
    roles = Roles.of(kind.__new__(kind))
    return roles.needed > 0 or roles.any_number


def escaped(value: Any) -> Any:
    """A value as it must be written: $ starts an expression, $$ is the sign."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and isinstance(scalar(value), str)
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return ".nan" if isnan(value) else ("-" if value < 0 else "") + ".inf" if isinf(value) else repr(value)
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
