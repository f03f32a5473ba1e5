"""The schema of Caffe's files: which messages there are, and the number, type and default of each field."""

from __future__ import annotations

from typing import Any, NamedTuple

from dltrain.caffe.fields_forks import ADDED, FORK_ENUMS, FORK_FIELDS
from dltrain.caffe.fields_layers import LAYER_ENUMS, LAYER_FIELDS
from dltrain.caffe.fields_net import NET_ENUMS, NET_FIELDS
from dltrain.caffe.fields_old import OLD_ENUMS, OLD_FIELDS

UNKNOWN = "Unknown"  # the kind of a message that a fork of Caffe has added: its fields are kept as they are read
WHOLE = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1)}
SCALARS = {*WHOLE, "float", "double", "bool", "string", "bytes"}


class Field(NamedTuple):
    """A field of a message; `type` is a scalar's name, an enum's or a message's."""

    number: int
    type: str
    repeated: bool = False
    default: Any = None
    packed: bool = False

    @property
    def is_message(self) -> bool:
        return self.type in MESSAGES

    @property
    def is_enum(self) -> bool:
        return self.type in ENUMS


def value(text: str, type: str) -> Any:
    """A default as it stands in the table."""
    if type in WHOLE:
        return int(text)
    if type == "bool":
        return text == "true"
    return float(text) if type in ("float", "double") else text.strip("'")


def parsed(kind: str, text: str) -> dict[str, Field]:
    """The fields of "number name type default, ...", where type[] is repeated and type[packed] is repeated and packed."""
    fields = {}
    for entry in text.split(","):
        number, name, type, *default = entry.split()
        type, bracket, packed = type.partition("[")
        type = f"{kind}.{type}" if f"{kind}.{type}" in ENUMS else type
        fields[name] = Field(int(number), type, bool(bracket), value(default[0], type) if default else None, packed == "packed]")
    return fields


def choices(text: str) -> dict[str, int]:
    """The names of "NAME NAME ..." with their numbers, from 0 on or from the number given: "NAME=3"."""
    names, number = {}, -1
    for entry in text.split():
        name, equals, told = entry.partition("=")
        number = int(told) if equals else number + 1
        names[name] = number
    return names


ENUMS: dict[str, dict[str, int]] = {
    name: choices(text) for table in (NET_ENUMS, LAYER_ENUMS, OLD_ENUMS, FORK_ENUMS) for name, text in table.items()
}
MESSAGES: dict[str, dict[str, Field]] = {
    name: parsed(name, text) for table in (NET_FIELDS, LAYER_FIELDS, OLD_FIELDS, FORK_FIELDS) for name, text in table.items()
}
for _kind, _text in ADDED.items():
    MESSAGES[_kind] |= parsed(_kind, _text)
MESSAGES[UNKNOWN] = {}
NUMBERS: dict[str, dict[int, str]] = {
    kind: {field.number: name for name, field in fields.items()} for kind, fields in MESSAGES.items()
}
NAMES: dict[str, dict[int, str]] = {enum: {number: name for name, number in names.items()} for enum, names in ENUMS.items()}
