"""The JSON Schema of a config (draft-07): what an editor needs to complete keys and underline mistakes while one types."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from dltrain import catalogue, registry  # noqa: F401  the catalogue fills the registries
from dltrain.checks import adapter, choices, keys_of, required
from dltrain.fields import moving
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS, SOURCES, TRANSFORMS, Registry
from dltrain.sections import NOT_YET, DataKeys, EngineKeys, LineKeys, Loop, ParamKeys, Part, Split, Top, Weights

EXPRESSION = {"$ref": "#/definitions/$"}
DOLLAR = {"type": "string", "pattern": r"^\$"}
NULL = {"type": "null"}
LATER = {"description": "not yet built"}
Schema = dict[str, Any]


def schema() -> Schema:
    """One if/then for each type, so that a message speaks of that type alone; numbers also accept a $ expression."""
    param = {"type": "object", "additionalProperties": section(ParamKeys)}
    rule = keys(Loop) | {"param": any_of(param, NULL)}
    line = keys(LineKeys) | {"param": any_of(param, NULL)} | composed() | dict.fromkeys(NOT_YET["line"], LATER)
    lines = {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/line"}}
    top = keys(Top) | {
        "data": of_file(lenient(data())),
        "net": of_file(lines),
        "blocks": {"type": "object", "additionalProperties": block(lines)},
        "vars": {"type": "object"},
        "base": {"type": "string"},
        "solver": any_of(of_file(lenient(typed(SOLVERS, rule))), NULL),
        "engine": any_of(section(EngineKeys), NULL),
        "weights": any_of({"type": "string"}, section(Weights), NULL),
    }
    top |= dict.fromkeys(NOT_YET["top"], LATER)
    alone = {"not": {"anyOf": [{"required": ["blocks"]}, {"required": ["base"]}]}}
    whole = {"data": mapping({"required": ["source"]}), "solver": mapping(wanted(typed(SOLVERS, {})))}
    own = [
        {"if": alone, "then": {"properties": {"net": plain()}}},
        {"if": {"not": {"required": ["base"]}}, "then": {"properties": whole}},
    ]
    named = {"part": any_of(section(Part), NULL), "line": loose(typed(LAYERS, line)), TRANSFORMS.kind: step()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dltrain config",
        "type": "object",
        "properties": top,
        "anyOf": [{"required": ["data", "net"]}, {"required": ["base"]}],
        "additionalProperties": False,
        "allOf": own,
        "definitions": {"$": DOLLAR, **named, **policies(), **{each.kind: choice(each) for each in (SOURCES, FILLERS)}},
    }


def lenient(made: Schema) -> Schema:
    """A section that a base may fill up: nothing is required of it."""
    rules = [
        {**rule, "then": {key: item for key, item in rule["then"].items() if key != "required"}} for rule in made.get("allOf", ())
    ]
    kept = {key: item for key, item in made.items() if key != "required"}
    return kept | ({"allOf": rules} if rules else {})


def wanted(made: Schema) -> Schema:
    """What is required of a section, by its type, and nothing else."""
    rules = [{**rule, "then": {"required": rule["then"].get("required", [])}} for rule in made["allOf"]]
    return {"required": made["required"], "allOf": rules}


def mapping(made: Schema) -> Schema:
    """Of a section that is written out; not of the name of a file, nor of null."""
    return {"if": {"type": "object"}, "then": made}


def composed() -> Schema:
    """What a line may say of how it is laid out."""
    words = {key: {"type": "string"} for key in ("share", "after", "before")}
    count = any_of({"type": "integer", "minimum": 0}, EXPRESSION)
    return {**words, "when": any_of({"type": "string"}, {"type": "boolean"}), "repeat": count, "delete": {"type": "boolean"}}


def block(lines: Schema) -> Schema:
    """A piece of net with parameters and inputs, or the net of another config up to a blob."""
    own = {"params": {"type": "object"}, "inputs": {"type": "array", "items": {"type": "string"}}, "net": lines}
    written = {"type": "object", "properties": own, "additionalProperties": False, "required": ["net"]}
    words = {"file": {"type": "string"}, "to": {"type": "string"}}
    return {"if": {"required": ["file"]}, "then": {"properties": words, "additionalProperties": False}, "else": written}


def plain() -> Schema:
    """A net of layers alone: every type is one of them, and every line has one, or shares another's."""
    needs = {"anyOf": [{"required": ["type"]}, {"required": ["share"]}]}
    return of_file({"items": {"properties": {"type": {"enum": list(LAYERS)}}, **needs}})


def loose(line: Schema) -> Schema:
    """A line of the net: its type may also be a block, and with `share`, or over a base, it may have none."""
    line["properties"]["type"] = any_of(line["properties"]["type"], {"type": "string"})
    return line | {"required": ["name"]}


def data() -> Schema:
    """The data section, with what may differ for single splits."""
    part: Schema = {"$ref": "#/definitions/part"}
    extra = {"type": "object", "additionalProperties": part}
    return section(DataKeys, {"train": any_of(section(Split), NULL), "val": part, "test": part, "extra": extra})


def any_of(*schemas: Schema) -> Schema:
    flat = [inner for one in schemas for inner in (one["anyOf"] if set(one) == {"anyOf"} else [one])]
    return {"anyOf": flat}


def of_file(made: Schema) -> Schema:
    """A section, or the name of a file that has it."""
    return {"if": {"type": "string"}, "then": {}, "else": made}


def keys(cls: type) -> Schema:
    """The properties of a dataclass, in draft-07; null stands for the default where there is one."""
    made = inline(adapter(cls).json_schema(mode="validation"))
    properties: Schema = made.get("properties", {})
    for name, mark in choices(cls).items():
        one = chosen(getattr(registry, mark.registry))
        properties[name] = {"type": "array", "items": one} if mark.many else one
    for name, bound in moving(cls).items():
        properties[name] = {"$ref": f"#/definitions/{'number' if bound.below is None else 'share'}"}
    for field in fields(cls):
        if field.name in properties and not required(field):
            properties[field.name] = any_of(properties[field.name], NULL)
    return properties


def needed(cls: type) -> list[str]:
    return [field.name for field in fields(cls) if required(field)]


def section(cls: type, more: Schema | None = None) -> Schema:
    return {"type": "object", "properties": keys(cls) | (more or {}), "additionalProperties": False, "required": needed(cls)}


def typed(known: Registry, common: Schema, always: list[str] | None = None) -> Schema:
    """A mapping whose `type` decides which further keys it has.  The common keys are described once."""
    rules = []
    owned = {name: keys(cls) for name, cls in known.items()}
    alike = next(iter(owned.values()), {}).items()
    common = {key: value for key, value in alike if all(own.get(key) == value for own in owned.values())} | common
    for name, cls in known.items():
        words = list(dict.fromkeys(["type", *common, *keys_of(cls)]))
        own = {key: value for key, value in owned[name].items() if key not in common}
        then: Schema = {"properties": own, "propertyNames": {"enum": words}}
        then |= {"required": needed(cls)} if needed(cls) else {}
        rules.append({"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then})
    about = {"enum": list(known), "description": f"a {known.kind}"}
    return {"type": "object", "properties": {**common, "type": about}, "required": ["type", *(always or [])], "allOf": rules}


def chosen(known: Registry) -> Schema:
    return {"$ref": f"#/definitions/{known.kind}"}


def choice(known: Registry) -> Schema:
    """{type: X, its keys}, or bare X where the defaults do."""
    bare = [name for name, cls in known.items() if not needed(cls)]
    return {"if": {"type": "string"}, "then": {"enum": bare}, "else": typed(known, {})}


def policies() -> Schema:
    """The keys of all policies, described once: of lr_policy, and of numbers in whose place a policy with `base` may stand."""
    whole: Schema = {"$ref": "#/definitions/policy"}
    made = {POLICIES.kind: choice(POLICIES) | {"else": {"allOf": [whole, {"not": {"required": ["base"]}}]}}}
    for name, limits in {"number": {"minimum": 0}, "share": {"minimum": 0, "exclusiveMaximum": 1}}.items():
        base = any_of({"type": "number", **limits}, EXPRESSION)
        made[name] = any_of(base, {"allOf": [whole, {"required": ["base"], "properties": {"base": base}}]})
    return made | {"policy": typed(POLICIES, {"base": {}})}


def step() -> Schema:
    """A transform step: its name with the main value, then fields; its bare name where the defaults do; or by type."""
    rules = []
    for name, cls in TRANSFORMS.items():
        properties = keys(cls)
        main = keys_of(cls)[0]
        value = properties[main] if main in needed(cls) else any_of(properties[main], {"type": "boolean"})
        rest = {key: item for key, item in properties.items() if key != main}
        then = {"properties": {name: value, **rest}, "propertyNames": {"enum": [name, *rest]}}
        rules.append({"if": {"required": [name]}, "then": then})
    bare = [name for name, cls in TRANSFORMS.items() if not needed(cls)]
    named = {"type": "object", "anyOf": [{"required": [name]} for name in TRANSFORMS], "allOf": rules}
    by_type = {"if": {"required": ["type"]}, "then": typed(TRANSFORMS, {}), "else": named}
    return {"if": {"type": "string"}, "then": {"enum": bare}, "else": by_type}


def inline(made: Schema) -> Schema:
    """From pydantic's 2020-12 to draft-07: definitions put where they are used, numbers also as $ expressions."""
    definitions = made.pop("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return walk(json.loads(json.dumps(definitions[node["$ref"].rsplit("/", 1)[-1]])))
        found = {key: walk(value) for key, value in node.items() if key not in ("title", "default")}
        if "prefixItems" in found:
            found["items"] = found.pop("prefixItems")
        if found.get("type") in ("integer", "number", "boolean"):
            return any_of(found, EXPRESSION)
        for main in {"interval", "decay", "threads"} & set(found.get("properties", ())):  # one main value, taken bare
            return any_of(open_keys(found), found["properties"][main])
        return found

    inner: Schema = walk(made)
    return inner["anyOf"][0] if "anyOf" in inner and "properties" in inner["anyOf"][0] else inner


def open_keys(found: Schema) -> Schema:
    """In a section, null puts each key that is not needed back to its default."""
    must = found.get("required", ())
    properties = {key: value if key in must else any_of(value, NULL) for key, value in found["properties"].items()}
    return {**found, "properties": properties}
