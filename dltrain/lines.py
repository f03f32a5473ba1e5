"""The net section: each line becomes a checked layer with its wiring as written."""

from __future__ import annotations

from typing import Any

from dltrain.checks import check, keys_of, show
from dltrain.errors import did_you_mean, nearest
from dltrain.expand import Placed
from dltrain.marks import Document, Key
from dltrain.overrides import absolute
from dltrain.registry import LAYERS
from dltrain.sections import NOT_YET, LineKeys, ParamKeys
from dltrain.values import Unworkable, work
from dltrain.wiring import PHASES, Line, matches


def anchor_lines(document: Document, value: Any, path: Key, names: dict[str, Any]) -> None:
    """Makes the paths of layers absolute in the text itself, which a run keeps: in a file they are relative to it."""
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in inner:
        anchor_lines(document, item, (*path, key), names)
    kind = value.get("type") if isinstance(value, dict) else None
    for key in LAYERS[kind].paths if isinstance(kind, str) and kind in LAYERS else ():
        if isinstance(value.get(key), str):
            try:
                value[key] = absolute(document, work(value[key], path, names), (*path, key))
            except Unworkable:  # a parameter of a block, or a mistake: the line itself has it
                continue


def read_lines(document: Document, placed: list[Placed], rules: dict[str, dict[str, Any]]) -> list[Line]:
    """The lines that are right by themselves; what is wrong is noted."""
    value = document.value.get("net")
    if not isinstance(value, list) or not value:
        document.wrong(("net",), f"net: must be a list of layers, - {{name: conv1, type: Convolution, …}}, not {show(value)}")
        return []
    lines = [read_line(document, one, rules) for one in placed]
    for above, line in zip(lines, lines[1:], strict=False):
        if line is not None:
            line.after_wrong = above is None
    return [line for line in lines if line is not None]


def read_line(document: Document, placed: Placed, rules: dict[str, dict[str, Any]]) -> Line | None:
    item, path = placed.item, placed.path
    if not isinstance(item, dict):
        document.wrong(path, f"net: a line must be a mapping {{name: …, type: …}}, not {show(item)}")
        return None
    kind, name = item.get("type"), item.get("name")
    what = f"layer '{name}' ({kind})" if name is not None else f"a layer ({kind})"
    for word in NOT_YET["line"]:
        if word in item:
            document.wrong((*path, word), f"{what}: '{word}' is not yet built; write the lines out", key=True)
    shared = keys_of(LineKeys)
    common = {key: value for key, value in item.items() if key in shared and key != "param"}
    own = {key: value for key, value in item.items() if key not in shared and key not in NOT_YET["line"]}
    meant = kind_of(document, item, own, path, what)
    own |= {key: absolute(document, own[key], (*path, key)) for key in (LAYERS[meant].paths if meant else ()) if key in own}
    misspelt = {nearest(key, shared) for key in own if not meant or key not in keys_of(LAYERS[meant])}
    keys = check(document, LineKeys, common, path, what, excused=misspelt)
    layer = check(document, LAYERS[meant], own, path, what, shared) if meant else None
    params = read_params(document, item.get("param"), (*path, "param"), what)
    if keys is None or layer is None or kind != meant:
        return None
    if keys.loss_weight is not None and layer.kind == "metric":
        document.wrong(
            (*path, "loss_weight"), f"{what}: a metric has no gradient to learn from; put loss_weight on a loss or a layer"
        )
    line = Line(keys.name, layer, keys.bottom, frozenset(keys.phase or PHASES), params, keys.loss_weight, path)
    line.propagate_down, line.rules, line.above, line.share = keys.propagate_down, rules, placed.above, placed.share
    return line


def kind_of(document: Document, item: dict[str, Any], own: dict[str, Any], path: Key, what: str) -> str | None:
    """The type of layer that is meant, if one comes near; its keys are checked all the same."""
    kind, shared = item.get("type"), keys_of(LineKeys)
    if isinstance(kind, str) and kind not in LAYERS:
        known = [*LAYERS, *((document.value or {}).get("blocks") or ())]
        document.wrong((*path, "type"), f"{what}: unknown layer type '{kind}'; {did_you_mean(kind, known)}")
    meant = kind if isinstance(kind, str) and kind in LAYERS else nearest(kind, LAYERS)
    for key in own if meant is None else ():
        if nearest(key, shared):
            document.wrong((*path, key), f"{what}: unknown key '{key}'; {did_you_mean(key, shared)}", key=True)
    return meant


def read_params(document: Document, value: Any, path: Key, what: str) -> dict[str, dict[str, Any]]:
    """param: {weight: {lr_mult: 10, filler: xavier}, bias: {lr_mult: 20}}"""
    if value is None:
        return {}
    if not isinstance(value, dict):
        document.wrong(path, f"{what}: 'param' must be a mapping by role, {{weight: {{lr_mult: 10}}}}, not {show(value)}")
        return {}
    return {role: read_param(document, keys, (*path, role), f"{what}: param {role}") for role, keys in value.items()}


def read_param(document: Document, value: Any, path: Key, what: str) -> dict[str, Any]:
    """What is said of one parameter, as a mapping of the keys that were given."""
    made = check(document, ParamKeys, value, path, what)
    if made is not None and made.transpose and made.share is None:
        document.wrong((*path, "transpose"), f"{what}: transpose goes with share: {{share: enc1.weight, transpose: true}}")
    return {key: getattr(made, key) for key in keys_of(ParamKeys) if getattr(made, key) is not None} if made else {}


def read_rules(document: Document, value: Any) -> dict[str, dict[str, Any]]:
    """solver.param: groups by pattern, "*.bias": {lr_mult: 2}"""
    if value is None:
        return {}
    if not isinstance(value, dict):
        document.wrong(("solver", "param"), f"solver: 'param' must be a mapping by pattern, not {show(value)}")
        return {}
    return {
        pattern: read_param(document, keys, ("solver", "param", pattern), f"solver: param {pattern}")
        for pattern, keys in value.items()
    }


def unused_rules(document: Document, rules: dict[str, dict[str, Any]], names: list[str]) -> None:
    """A pattern that matches nothing is a mistake."""
    for pattern in rules:
        if names and not any(matches(pattern, name) for name in names):
            document.wrong(
                ("solver", "param", pattern),
                f"solver: param '{pattern}' matches nothing; {did_you_mean(pattern, names)}",
                key=True,
            )
