"""The catalogue as text: what `dltrain layers` and `dltrain solvers` print, and what docs/layers.md is made of."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any

from dltrain import catalogue  # noqa: F401  fills the registries
from dltrain.checks import adapter
from dltrain.errors import ConfigError, did_you_mean
from dltrain.fields import moving
from dltrain.registry import Registry


def index(known: Registry) -> str:
    """One line for each: its name, and its formula."""
    width = max(map(len, known))
    return "\n".join(f"{name:{width}s}  {formula(known[name])}" for name in sorted(known, key=str.lower))


def formula(cls: type) -> str:
    """The first line of the docstring."""
    return (inspect.getdoc(cls) or "").split("\n", 1)[0]


def entry(known: Registry, name: str) -> str:
    """One entry in full: docstring, keys, an example."""
    if name not in known:
        raise ConfigError(f"there is no {known.kind} '{name}'; {did_you_mean(name, known)}")
    cls = known[name]
    text = f"{name}\n\n{inspect.getdoc(cls)}"
    rows = keys(cls)
    if rows:
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        text += "\n\nkeys\n" + "\n".join(f"  {a:{widths[0]}s}  {b:{widths[1]}s}  {c}".rstrip() for a, b, c in rows)
    return f"{text}\n\nexample\n  {example(known, name)}"


def keys(cls: Any) -> list[tuple[str, str, str]]:
    """(key, type, default or "needed") of each field."""
    schema = adapter(cls).json_schema()
    found, moved = [], moving(cls)
    for field in fields(cls):
        about = kind(schema.get("properties", {}).get(field.name, {})) + (" | policy" if field.name in moved else "")
        if field.default is not MISSING:
            default = shown(field.default)
        else:
            default = "needed" if field.default_factory is MISSING else shown(field.default_factory())
        found.append((field.name, about, default))
    return found


def kind(schema: dict[str, Any]) -> str:
    """A type of JSON Schema in a word or two."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(kind(item) for item in schema["anyOf"]))
    words = {"integer": "int", "number": "number", "boolean": "true | false", "string": "text", "array": "list", "null": "null"}
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = "".join(f" {sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema)
    return words.get(schema.get("type", ""), "mapping") + limits


def shown(value: Any) -> str:
    """A default as it would stand in YAML."""
    if isinstance(value, tuple):
        return shown(value[0]) if len(value) == 1 else f"[{', '.join(map(shown, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def example(known: Registry, name: str) -> str:
    """A line that is right: the needed keys, with small numbers."""
    cls = known[name]
    needed = [field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING]
    words = "".join(f", {key}: {sample(adapter(cls).json_schema()['properties'].get(key, {}))}" for key in needed)
    if known.kind == "transform step" and fields(cls) and needed[:1] == [fields(cls)[0].name]:
        return f"{{{words.removeprefix(', ').replace(needed[0], name, 1)}}}"
    if known.kind == "transform step":
        return name if not words else f"{{{name}: true{words}}}"
    if known.kind != "layer type":
        return f"{{type: {name}{words}}}"
    bottom = {"loss": ", bottom: [x, label]", "metric": ", bottom: [x, label]"}.get(cls.kind, "")
    return f"- {{name: {name.lower()}1, type: {name}{words}{bottom}}}"


def sample(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    return {"integer": "2", "number": "0.1", "boolean": "true", "string": "x", "array": "[2]"}.get(schema.get("type", ""), "2")


def page(title: str, known: Registry) -> str:
    """A page of the docs: an index, then every entry."""
    names = sorted(known, key=str.lower)
    head = f"# {title}\n\nMade by `python -m dltrain.reference`; the source is the code.\n"
    rows = "\n".join(f"* [{name}](#{name.lower()}): `{formula(known[name])}`" for name in names)
    return head + "\n" + rows + "\n\n" + "\n\n".join(f"## {name}\n```\n{entry(known, name)}\n```" for name in names) + "\n"


if __name__ == "__main__":
    from pathlib import Path

    from dltrain.registry import LAYERS

    Path("docs/layers.md").write_text(page("The layers", LAYERS), encoding="utf-8")
