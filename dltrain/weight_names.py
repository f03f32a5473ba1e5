"""Names of arrays: other programs' dotted ones, such as layer1.0.bn1.running_mean, and ours, data/LAYER/INDEX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from dltrain.errors import ConfigError

LEARNT = ("weight", "bias")  # what other programs call the first two arrays of a layer
STATES = {"running_mean": "mean", "running_var": "variance"}  # and BatchNorm's statistics
IDLE = ("num_batches_tracked",)  # what has no meaning here

OWN = re.compile(r"(?s)data/.+/[^/]+|states/.+\.[^./]+")  # names of ours

Arrays = dict[str, Any]


def layer_of(name: str) -> str:
    """data/LAYER/0 or states/LAYER.ROLE -> LAYER"""
    group, rest = name.split("/", 1)
    return (rest.rsplit("/", 1)[0] if group == "data" else rest.split("@")[0].rsplit(".", 1)[0]).replace("%2F", "/")


def part_of(name: str) -> str:
    """data/LAYER/0 -> 0; states/LAYER.ROLE -> ROLE"""
    return name.rsplit("/", 1)[1] if name.startswith("data/") else name.rsplit(".", 1)[1]


def placed(name: str, layer: str) -> str:
    """The name of the same array in another layer."""
    mark, layer = part_of(name), layer.replace("/", "%2F")
    return f"data/{layer}/{mark}" if name.startswith("data/") else f"states/{layer}.{mark}"


def ours(arrays: Arrays) -> Arrays:
    """Arrays by dotted names under ours, in their order.

    a.b.weight, a.b.bias                       data/a/b/0 and 1, or 0 where there is only one
    a.b.2; a.b.ROLE                            data/a/b/2; data/a/b/ROLE, which a net that has such a role understands
    a.b.running_mean, a.b.running_var          states/a/b.mean, .variance, and .factor, which is 1
    """
    if all(OWN.fullmatch(name) for name in arrays):
        return arrays
    made: Arrays = {}
    parts = [name.replace("/", ".").rpartition(".") for name in arrays]
    learnt = Counter(layer for layer, _, role in parts if role not in (*STATES, *IDLE))
    for (layer, _, role), array in zip(parts, arrays.values()):
        inner = (layer or role).replace(".", "%2F")
        if role in IDLE:
            continue
        if role in STATES and layer:
            name = f"states/{inner}.{STATES[role]}"
        elif role == "bias" and learnt[layer] == 1:
            name = f"data/{inner}/0"
        else:
            name = f"data/{inner}/{LEARNT.index(role) if role in LEARNT else role if layer else 0}"
        if name in made or not OWN.fullmatch(name):
            what = "twice" if name in made else "without a name"
            raise ValueError(f"has a '{role}' of '{layer}' {what}")
        made[name] = array
        if role in STATES and layer:
            made[f"states/{inner}.factor"] = np.ones(1, np.float32)
    return made


def in_order(arrays: Arrays) -> Arrays:
    """By layer and array, as a person counts: conv2 before conv10."""

    def key(name: str) -> Any:
        return [[int(word) if word.isdecimal() else word for word in re.split(r"([0-9]+)", part)] for part in name.split("/")]

    return {name: arrays[name] for name in sorted(arrays, key=key)}


def dotted(arrays: Arrays) -> Arrays:
    """The other way about: what PyTorch's load_state_dict takes.  Statistics lose their factor; those of one batch stay out."""
    made: Arrays = {}
    for name, array in arrays.items():
        layer, part = layer_of(name).replace("/", "."), part_of(name)
        if name.startswith("data/"):
            role = LEARNT[int(part)] if part.isdigit() and int(part) < len(LEARNT) else part
            made[f"{layer}.{role}"] = array
        elif "@" not in name and part != "factor":
            theirs = {role: word for word, role in STATES.items()}.get(part, part)
            factor = arrays.get(f"{name.rpartition('.')[0]}.factor")
            made[f"{layer}.{theirs}"] = array if factor is None else unscaled(array, factor)
    return made


def unscaled(array: Any, factor: Any) -> Any:
    """Statistics over their factor; 0 before there are any."""
    value = float(np.reshape(factor, -1)[0])
    return np.asarray(array / value if value else array * 0, array.dtype)


def folded(layer: str) -> str:
    """A name without what programs separate its parts by."""
    return re.sub(r"[/._-]+", "/", layer)


def matched(given: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Layers of a file -> the layers of a net that they are.

    By equal names; else by names that differ only in what stands between their parts (a/b, a.b, a_b), or in a first part that
    all of the file have (module.conv1).
    """
    given, wanted = list(dict.fromkeys(given)), list(dict.fromkeys(wanted))
    starts = {layer.partition("/")[0] for layer in given}
    common = f"{starts.pop()}/" if len(starts) == 1 and not set(given) & set(wanted) else ""
    left = [layer for layer in wanted if layer not in given]
    made = {layer: layer for layer in given if layer in wanted}
    for layer in (layer for layer in given if layer not in made):
        near = [other for other in left if folded(other) in (folded(layer), folded(layer.removeprefix(common)))]
        if len(near) == 1 and near[0] not in made.values():
            made[layer] = near[0]
    return made


def mapped(arrays: Arrays, said: dict[str, Any]) -> Arrays:
    """Arrays whose layers have been renamed: {conv1: first, "body.*": "*", head: null}; null leaves a layer out.

    Names may have dots or slashes; one * stands for any text, the same in the new name.
    """
    rules = [(str(old).replace(".", "/"), None if new is None else str(new).replace(".", "/")) for old, new in said.items()]
    made: Arrays = {}
    used: set[str] = set()
    for name, array in arrays.items():
        layer = layer_of(name)
        rule = next(((old, new) for old, new in rules if fnmatchcase(layer, escaped(old))), None)
        used |= {rule[0]} if rule else set()
        if rule is None or rule[1] is not None:
            key = name if rule is None else placed(name, starred(layer, rule[0], rule[1] or ""))
            if key in made:
                raise ConfigError(f"--map: two arrays would become {key}; give their layers different names")
            made[key] = array
    idle = [old for old, _ in rules if old not in used]
    if idle:
        raise ConfigError(f"--map: '{idle[0]}' is no layer of the file; it has {', '.join(dict.fromkeys(map(layer_of, arrays)))}")
    return made


def escaped(pattern: str) -> str:
    """Of a pattern's signs only * has a meaning."""
    return re.sub(r"([?\[])", r"[\1]", pattern)


def starred(layer: str, old: str, new: str) -> str:
    """The new name, with what * stood for in the old one."""
    before, star, behind = old.partition("*")
    inner = layer[len(before) : len(layer) - len(behind)] if star else ""
    return new.replace("*", inner)
