"""Parameters of Caffe's layers: roles in the order of the blobs, first values, rates, decay, and who shares with whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dltrain.caffe.message import Message
from dltrain.registry import FILLERS
from dltrain.translate.caffe_layers import Keys, kind_of, settings, tidy

STATES = {"BatchNorm": ("mean", "variance", "factor")}  # what is a parameter there and a state here
FIELDS = {"weight": "weight_filler", "bias": "bias_filler", "scale": "filler", "slope": "filler"}
USUAL = {"scale": 1.0, "slope": 0.25}  # first values where a file says nothing; 0 elsewhere
COMMON = 3  # so many layers that say the same make a pattern


def roles(type: str, keys: Keys, bottoms: int) -> list[str]:
    """The parameters of a layer of ours, in the order of Caffe's blobs."""
    if type in ("Convolution", "Deconvolution", "InnerProduct", "Embed"):
        return ["weight", "bias"] if keys.get("bias_term", True) else ["weight"]
    if type in ("LSTM", "RNN"):
        exposed = 0 if keys["carry"] else 2 if type == "LSTM" else 1
        static = ["weight_static"] if bottoms > 2 + exposed else []
        return ["weight_x", "bias", *static, "weight_h", *(["weight_o", "bias_o"] if type == "RNN" else [])]
    if type == "Scale":
        return (["scale"] if bottoms == 1 else []) + (["bias"] if keys["bias_term"] else [])
    if type == "Bias":
        return ["bias"] if bottoms == 1 else []
    return {"PReLU": ["slope"], "Parameter": ["weight"]}.get(type, [])


@dataclass
class Param:
    """One parameter of one line, with all that there is to say of it."""

    line: str
    role: str
    type: str  # of the line
    said: Keys = field(default_factory=dict)  # lr_mult, decay_mult, filler: always all three
    shared: str = ""  # the name it is shared by
    owner: Param | None = None  # whose it is, where it is another's

    @property
    def name(self) -> str:
        return f"{self.line}.{self.role}"

    @property
    def usual(self) -> Keys:
        """What holds here where nothing is said; a weight's filler depends on its reader, and is always said."""
        still = self.role.split("_")[0] in ("bias", "scale")
        first = {"type": "constant", "value": USUAL.get(self.role, 0.0)} if not self.role.startswith("weight") else None
        return {"lr_mult": 1.0, "decay_mult": 0.0 if still else 1.0, "filler": first}


def params_of(line: str, layer: Message, keys: Keys, bottoms: int, notes: list[str], where: str) -> list[Param]:
    """The parameters of a line, as the file has them or as Caffe has them without a word."""
    kind = kind_of(layer)
    assert kind is not None
    said, specs, made = settings(kind, layer), layer.all("param"), []
    for number, role in enumerate(roles(kind.type, keys, bottoms)):
        spec = specs[number] if number < len(specs) else Message("ParamSpec")
        one = Param(line, role, kind.type, shared=spec["name"] or "")
        one.said = {"lr_mult": float(spec["lr_mult"]), "decay_mult": float(spec["decay_mult"])}
        one.said["filler"] = first_values(said, role, kind.type, notes, f"{where}: {role}")
        made.append(one)
    return made


def first_values(said: Message, role: str, type: str, notes: list[str], what: str) -> Keys:
    """The filler of a parameter, Caffe's constant where none is given."""
    name = "filler" if type == "Bias" else FIELDS.get(role.split("_")[0], "")
    if name not in said:
        return {"type": "constant", "value": USUAL.get(role, 0.0)}
    return filler_of(said[name], notes, what)


def filler_of(filler: Message, notes: list[str], what: str) -> Keys:
    """A filler as a mapping with its type."""
    kind = str(filler["type"])
    if kind not in FILLERS:
        notes.append(f"{what}: the filler '{kind}' is not known; xavier stands in its place")
        return {"type": "xavier"}
    made: Keys = {"type": kind}
    if kind == "constant":
        made["value"] = filler["value"]
    elif kind == "uniform":
        made |= {"min": filler["min"], "max": filler["max"]}
    elif kind == "gaussian":
        made |= {"mean": filler["mean"], "std": filler["std"]}
        made |= {"sparse": filler["sparse"]} if filler["sparse"] >= 0 else {}
    elif kind in ("xavier", "msra"):
        made["variance_norm"] = str(filler["variance_norm"]).lower()
    return made


def short(filler: Keys) -> Any:
    """xavier, or {type: gaussian, std: 0.01}: without what goes without saying."""
    usual = FILLERS[filler["type"]]().__dict__
    kept = {key: value for key, value in filler.items() if key != "type" and value != usual.get(key)}
    return {"type": filler["type"], **kept} if kept else filler["type"]


def share(params: list[Param], notes: list[str]) -> None:
    """Finds the owner of each shared parameter: the first of its name; what is said of one of them holds for all."""
    owners: dict[str, Param] = {}
    for one in params:
        if one.shared and owners.setdefault(one.shared, one) is not one:
            one.owner = owners[one.shared]
            for key in ("lr_mult", "decay_mult"):
                if one.said[key] != 1.0 and one.owner.said[key] == 1.0:
                    one.owner.said[key] = one.said[key]
    for one in params:
        if one.owner is not None and one.role != one.owner.role:
            notes.append(f"{one.name} is {one.owner.name}: the two have different roles")


def words(one: Param, base: Keys, decays: bool) -> Keys:
    """What a line has to say of a parameter where `base` is said by a pattern, or nothing is."""
    if one.owner is not None:
        return {"share": one.owner.name}
    frozen = one.said["lr_mult"] == 0
    told = one.said if decays and not frozen else {key: value for key, value in one.said.items() if key != "decay_mult"}
    made = {key: value for key, value in told.items() if value != (base.get(key) or one.usual[key])}
    return {key: short(value) if key == "filler" else tidy(value) for key, value in made.items()}


def spread(params: list[Param], trains: bool, decays: bool, patterns: bool) -> tuple[dict[str, Keys], dict[str, dict[str, Keys]]]:
    """(pattern -> what it says, line -> role -> what the line says besides); `trains` is False for a net without a loss.

    What most parameters of a role say is said once, as "*.bias", where there is a solver to say it in.
    """
    if not trains:
        return {}, lines_of((one, {"share": one.owner.name} if one.owner else {}) for one in params)
    bases: dict[str, Keys] = {}
    for role in dict.fromkeys(one.role for one in params) if patterns else ():
        own = [one for one in params if one.role == role and one.owner is None]
        kept: Keys = {}
        for key in ("lr_mult", "decay_mult", "filler") if len(own) >= COMMON else ():
            counted = Counter(repr(one.said[key]) for one in own)
            best, count = counted.most_common(1)[0]
            value = next(one.said[key] for one in own if repr(one.said[key]) == best)
            needless = value == own[0].usual[key] or (key == "decay_mult" and not decays)
            if count > len(own) / 2 and count >= COMMON and not needless:
                kept[key] = value
        if kept:
            bases[role] = kept
    said = lines_of((one, words(one, bases.get(one.role, {}), decays)) for one in params)
    shown = {f"*.{role}": {key: short(value) if key == "filler" else tidy(value) for key, value in kept.items()}
             for role, kept in bases.items()}  # fmt: skip
    return shown, said


def lines_of(told: Any) -> dict[str, dict[str, Keys]]:
    """line -> role -> keys, without those that say nothing."""
    made: dict[str, dict[str, Keys]] = {}
    for one, said in told:
        if said:
            made.setdefault(one.line, {})[one.role] = said
    return made
