"""What a file of Caffe says, whether it is text or binary: a message with named fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dltrain.caffe.schema import MESSAGES


@dataclass
class Message:
    """Fields by name, each with all its values in the order of the file.

    Numbers are int and float, enums their names (MAX), bytes are bytes, packed numbers one NumPy array, messages Message.
    `line` is where it began in a text, 0 in a binary file; `lines` the same for each field.  `unknown` are the numbers of those
    fields of a binary file that the schema does not know; those of a text are kept under their names.
    """

    kind: str  # the message's name in caffe.proto, such as LayerParameter
    fields: dict[str, list[Any]] = field(default_factory=dict)
    line: int = 0
    lines: dict[str, int] = field(default_factory=dict)
    unknown: tuple[int, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> Any:
        """The last value given; else the default of the schema: an empty message for a message, None where there is none."""
        if name in self.fields:
            return self.fields[name][-1]
        told = MESSAGES[self.kind][name]
        return Message(told.type) if told.is_message else told.default

    def all(self, name: str) -> list[Any]:
        """Every value of a repeated field."""
        return self.fields.get(name, [])

    def add(self, name: str, *values: Any) -> Message:
        """Appends values; returns the message itself."""
        self.fields.setdefault(name, []).extend(values)
        return self

    def put(self, name: str, value: Any) -> Message:
        """The one value of a field; returns the message itself."""
        self.fields[name] = [value]
        return self
