"""The JSON Schema of a config (draft-07): what an editor needs to complete keys and underline mistakes while one types."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from dltrain import catalogue, registry  # noqa: F401  the catalogue fills the registries
from dltrain.checks import adapter, choices
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS, SOURCES, TRANSFORMS, Registry
from dltrain.sections import NOT_YET, DataKeys, EngineKeys, LineKeys, Loop, ParamKeys, Top

EXPRESSION = {"type": "string", "pattern": r"^\$"}
Schema = dict[str, Any]


def schema() -> Schema:
    """One if/then for each type, so that a message speaks of that type alone; numbers also accept a $ expression."""
    top = keys(Top) | {
        "data": one_of_file(section(DataKeys, {"source": chosen(SOURCES)})),
        "net": {"anyOf": [{"type": "array", "items": line()}, {"type": "string"}]},
        "solver": one_of_file(typed(SOLVERS, keys(Loop))),
        "engine": section(EngineKeys),
    }
    top |= {word: {"description": "not yet built"} for word in NOT_YET["top"]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "dltrain config", "type": "object",
            "properties": top, "required": ["data", "net"], "additionalProperties": False,
            "definitions": {known.kind: choice(known) for known in (SOURCES, POLICIES, FILLERS)}}  # fmt: skip


def keys(cls: type) -> Schema:
    """The properties of a dataclass, in draft-07."""
    made = inline(adapter(cls).json_schema(mode="validation"))
    properties: Schema = made.get("properties", {})
    for name, mark in choices(cls).items():
        found = getattr(registry, mark.registry)
        properties[name] = {"type": "array", "items": step()} if mark.many else nullable(chosen(found))
    if "param" in properties:
        properties["param"] = {"type": "object", "additionalProperties": section(ParamKeys, {"filler": chosen(FILLERS)})}
    return properties


def section(cls: type, more: Schema | None = None) -> Schema:
    need = [field.name for field in fields(cls) if field.name in adapter(cls).json_schema().get("required", ())]
    made: Schema = {"type": "object", "properties": keys(cls) | (more or {}), "additionalProperties": False}
    return made | ({"required": need} if need else {})


def typed(known: Registry, common: Schema) -> Schema:
    """A mapping whose `type` decides which further keys it has."""
    rules = []
    for name, cls in known.items():
        made = section(cls)
        then: Schema = {"properties": common | made["properties"] | {"type": {"const": name}}, "additionalProperties": False}
        rules.append({"if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                      "then": then | ({"required": made["required"]} if "required" in made else {})})  # fmt: skip
    about = {"enum": list(known), "description": f"a {known.kind}"}
    return {"type": "object", "properties": {"type": about}, "required": ["type"], "allOf": rules}


def chosen(known: Registry) -> Schema:
    return {"$ref": f"#/definitions/{known.kind}"}


def choice(known: Registry) -> Schema:
    """{type: X, its keys}, or bare X where the defaults do."""
    return {"if": {"type": "string"}, "then": {"enum": list(known)}, "else": typed(known, {})}


def line() -> Schema:
    """A line of the net: the common keys, then those of its type."""
    common = keys(LineKeys) | {
        "param": {"type": "object", "additionalProperties": section(ParamKeys, {"filler": chosen(FILLERS)})}
    }
    common |= {word: {"description": "not yet built"} for word in NOT_YET["line"]}
    made = typed(LAYERS, common)
    made["required"] = ["name", "type"]
    return made


def step() -> Schema:
    """A transform step: its name with the main value, then fields; or its bare name."""
    names = {name: keys(cls) for name, cls in TRANSFORMS.items()}
    rules = []
    for name, properties in names.items():
        main = next(iter(properties))
        allowed = {
            name: {"anyOf": [properties[main], {"type": "boolean"}, {"type": "null"}]},
            **{k: v for k, v in properties.items() if k != main},
        }
        rules.append(
            {"if": {"type": "object", "required": [name]}, "then": {"properties": allowed, "additionalProperties": False}}
        )
    return {"anyOf": [{"enum": list(names)}, {"type": "object", "allOf": rules}]}


def one_of_file(made: Schema) -> Schema:
    return {"if": {"type": "string"}, "then": {"type": "string"}, "else": made}


def nullable(made: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, made]}


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
        if found.get("type") in ("integer", "number"):
            return {"anyOf": [found, EXPRESSION]}
        if "properties" in found and "interval" in found["properties"]:  # a section with one main value takes it bare
            return {"anyOf": [found, found["properties"]["interval"]]}
        return found

    inner: Schema = walk(made)
    return inner["anyOf"][0] if "anyOf" in inner and "properties" in inner["anyOf"][0] else inner
