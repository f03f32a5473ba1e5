"""Holds values of a config against the dataclass that describes them, and says what is wrong in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, get_args, get_type_hints

from dltrain import registry
from dltrain.errors import did_you_mean, nearest
from dltrain.fields import Chosen
from dltrain.marks import Document, Key

KINDS = {
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false", "string_type": "a text",
    "tuple_type": "a list", "list_type": "a list", "dict_type": "a mapping {key: value}", "finite_number": "a finite number",
    "dataclass_type": "a mapping {key: value}", "dataclass_exact_type": "a mapping {key: value}",
}  # fmt: skip
BOUNDS = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}


@cache
def adapter(cls: type) -> Any:
    from pydantic import TypeAdapter, with_config

    with_config({"extra": "forbid", "validate_default": True})(cls)
    return TypeAdapter(cls)


@cache
def choices(cls: type) -> dict[str, Chosen]:
    """The fields of a class whose values are chosen by name from a registry."""
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in fields(cls):
        for mark in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(mark, Chosen):
                found[field.name] = mark
    return found


def keys_of(cls: type) -> list[str]:
    return [field.name for field in fields(cls) if field.init]


@cache
def takes_null(cls: type, name: str) -> bool:
    """True for a section, or a key without a value of its own: null switches it off.  Elsewhere null means the default."""
    return type(None) in get_args(get_type_hints(cls)[name])


def required(field: Field[Any]) -> bool:
    return field.init and field.default is MISSING and field.default_factory is MISSING


def check(
    document: Document, cls: type, value: Any, path: Key, what: str, known: Iterable[str] = (), excused: Iterable[str | None] = ()
) -> Any:
    """An instance of the dataclass `cls` from the mapping `value`, or None after noting every mistake.

    `what` opens each message ("layer 'conv1' (Convolution)"); `known` are further keys to suggest to those who misspell;
    `excused` are keys whose absence is told already, as a misspelling of theirs.
    """
    if not isinstance(value, dict):
        document.wrong(path, f"{what}: must be a mapping {{key: value}}, not {show(value)}")
        return None
    before = len(document.mistakes)
    marks = choices(cls)
    picked = {name: pick(document, mark, value[name], (*path, name), what, name)
              for name, mark in marks.items() if value.get(name) is not None}  # fmt: skip
    absent = {field.name for field in fields(cls) if required(field) and field.name in marks} - picked.keys()
    plain = {field.name for field in fields(cls) if not required(field) and not takes_null(cls, field.name)} | absent
    rest = {key: item for key, item in value.items() if key not in picked and not (item is None and key in plain)}
    rest = {key: settled(item) for key, item in rest.items()} | dict.fromkeys(picked)
    made = validate(document, cls, rest, path, what, known, excused)
    for name, item in picked.items() if made is not None else ():
        setattr(made, name, item)
    return made if len(document.mistakes) == before else None


def validate(
    document: Document, cls: type, value: Any, path: Key, what: str, known: Iterable[str], excused: Iterable[str | None]
) -> Any:
    """pydantic's word on a mapping, told in ours."""
    from pydantic import ValidationError

    try:
        return adapter(cls).validate_json(json.dumps(value), strict=True)
    except ValidationError as errors:
        found = errors.errors(include_url=False)
        excuses: set[tuple[Any, ...]] = {(name,) for name in excused}
        for error in found:
            if error["type"] == "unexpected_keyword_argument":
                excuses.add((*error["loc"][:-1], nearest(error["loc"][-1], keys_at(cls, error["loc"]))))
        for error in found:
            if not (error["type"] == "missing" and error["loc"] in excuses):  # one mistake, one message
                explain(document, cls, error, path, what, known)
        return None


def settled(value: Any) -> Any:
    """A section inside a section without the keys that null puts back to their defaults."""
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def pick(document: Document, mark: Chosen, value: Any, path: Key, what: str, key: str) -> Any:
    """The object that {type: X, …}, or bare X, stands for; a list of them where the field takes many."""
    if not mark.many:
        return choose(document, getattr(registry, mark.registry), value, path, f"{what}: {key}")
    if not isinstance(value, list):
        document.wrong(path, f"{what}: {key} must be a list, not {show(value)}")
        return None
    return [choose(document, getattr(registry, mark.registry), item, (*path, index), f"{what}: {key}")
            for index, item in enumerate(value)]  # fmt: skip


def choose(document: Document, known: registry.Registry, value: Any, path: Key, what: str) -> Any:
    """One object of a registry from {type: X, its keys}, or bare X where the defaults do."""
    mapping = {"type": value} if isinstance(value, str) else value
    if not isinstance(mapping, dict):
        document.wrong(path, f"{what}: must be a {known.kind} or {{type: …}}, not {show(value)}")
        return None
    mapping, twice = step(known, mapping), said_twice(known, mapping)
    if twice is not None:
        document.wrong((*path, twice), f"{what}: '{twice}' is said already, behind the name of the step; keep one", key=True)
        return None
    name = mapping.get("type")
    if name is None:
        document.wrong(path, f"{what}: needs 'type'; {did_you_mean('', known)}")
        return None
    if not isinstance(name, str) or name not in known:
        where = (*path, "type") if (*path, "type") in document.marks else path
        document.wrong(where, f"{what}: unknown {known.kind} {show(name)}; {did_you_mean(name, known)}")
        return None
    rest = {key: item for key, item in mapping.items() if key != "type"}
    return check(document, known[name], rest, path, f"{what} ({name})")


def step(known: registry.Registry, mapping: dict[str, Any]) -> dict[str, Any]:
    """A transform step is its name with the main value, then fields: {crop: 28, phase: train} is {type: crop, size: 28, …}."""
    if known is not registry.TRANSFORMS or "type" in mapping or not mapping:
        return mapping
    name, value = next(iter(mapping.items()))
    rest = {key: item for key, item in mapping.items() if key != name}
    main = keys_of(known[name])[0] if name in known else "value"
    return {"type": name, **({} if value is None or value is True else {main: value}), **rest}


def said_twice(known: registry.Registry, mapping: dict[str, Any]) -> str | None:
    """The main key of a step, where it stands beside its value: {scale: 2, value: 3}."""
    name = next(iter(mapping), None)
    if known is not registry.TRANSFORMS or "type" in mapping or name is None or name not in known:
        return None
    main = keys_of(known[name])[0]
    return main if main in mapping and main != name and mapping[name] not in (None, True) else None


def explain(document: Document, cls: type, error: Any, path: Key, what: str, known: Iterable[str]) -> None:
    """One of pydantic's findings in our words, at its place in the text."""
    loc, kind, context = tuple(error["loc"]), error["type"], error.get("ctx", {})
    key = ".".join(str(part) for part in loc if not isinstance(part, int))
    given, where = error.get("input"), (*path, *loc)
    if isinstance(given, str) and given in document.unworkable:
        return
    if kind == "unexpected_keyword_argument":
        names = keys_at(cls, loc)
        document.wrong(where, f"{what}: unknown key '{loc[-1]}'; {did_you_mean(loc[-1], [*names, *known])}", key=True)
    elif kind == "missing":
        document.wrong(where[:-1], f"{what}: needs '{key}'; add {key}: …")
    elif kind in KINDS:
        document.wrong(where, f"{what}: '{key}' must be {KINDS[kind]}, not {show(given)}{hint(given, kind)}")
    elif kind == "literal_error":
        options = context["expected"].replace("'", "")
        names = [option.strip() for option in options.replace(" or ", ",").split(",")]
        document.wrong(where, f"{what}: '{key}' cannot be {show(given)}; {did_you_mean(given, names)}")
    elif kind == "value_error":
        document.wrong(where, f"{what}: '{key}' {context['error']}")
    else:
        bound = next((f"{words} {context[name]:g}" for name, words in BOUNDS.items() if name in context), None)
        message = f"must be {bound}, not {show(given)}" if bound else f"is {show(given)}: {error['msg']}"
        document.wrong(where, f"{what}: '{key}' {message}")


def keys_at(cls: type, loc: tuple[Any, ...]) -> list[str]:
    """The keys that may stand where `loc` does; of a section inside, found through the JSON Schema of the outer one."""
    if len(loc) == 1:
        return keys_of(cls)
    schema = adapter(cls).json_schema()
    node: dict[str, Any] = schema
    for part in loc[:-1]:
        node = node.get("properties", {}).get(str(part), {})
        inner = [node, *node.get("anyOf", ())]
        reference = next((item["$ref"] for item in inner if "$ref" in item), None)
        node = schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
    return list(node.get("properties", {}))


def hint(given: Any, kind: str) -> str:
    """The way out of the commonest mistakes of type."""
    if isinstance(given, dict) and "type" in given and kind in ("float_type", "int_type"):
        return "; a policy here is not yet built"
    if isinstance(given, str) and kind in ("float_type", "int_type"):
        try:
            float(given)
        except ValueError:
            return ""
        return "; remove the quotes"
    return ""


def show(value: Any) -> str:
    """A value as it would stand in YAML, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f"'{value}'"
    return text if len(text) <= 60 else text[:57] + "…"
