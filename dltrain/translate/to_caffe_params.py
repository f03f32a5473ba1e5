"""Parameters of our lines as Caffe's: rates and decay, first values, names for what is shared, and the blobs in their order."""

from __future__ import annotations

from typing import Any

from dltrain.caffe.message import Message
from dltrain.engine import Engine
from dltrain.net import Net
from dltrain.store import Segment
from dltrain.translate.caffe_params import FIELDS, STATES, USUAL, roles
from dltrain.translate.to_caffe_layers import Lacking, Saying, filler
from dltrain.wiring import Line


class Params:
    """The parameters of a net by line, in the order of Caffe's blobs."""

    def __init__(self, net: Net, notes: list[str]) -> None:
        self.store, self.notes = net.store, notes
        self.named = {part.name for part in self.store.shared.values()}  # those that several layers have

    def of(self, line: Line, bottoms: int) -> list[tuple[str, Segment]]:
        """(role, whose it is) for each blob, states left out."""
        layer: Any = line.layer
        if layer.type == "BatchNorm":
            names = ["scale", "bias"] if layer.affine else []
        else:
            names = roles(layer.type, vars(layer), bottoms)
        return [(role, self.found(line, role)) for role in names]

    def found(self, line: Line, role: str) -> Segment:
        key = (line.name, role)
        if key in self.store.turned:
            raise Lacking(f"Caffe shares no matrix transposed, as {role} of {self.store.turned[key].name}")
        return self.store.segments.get(key) or self.store.shared[key]

    def specs(self, parts: list[tuple[str, Segment]]) -> list[Message]:
        """A `param` a blob; none where all go without saying."""
        made = []
        for _, part in parts:
            spec = Message("ParamSpec")
            if part.name in self.named:
                spec.put("name", part.name)
            spec.put("lr_mult", 0.0 if part.frozen else float(part.spec.lr_mult))
            if part.decay_mult != 1:
                spec.put("decay_mult", float(part.decay_mult))
            made.append(spec)
        return made if any(len(spec.fields) > 1 or spec["lr_mult"] != 1 for spec in made) else []

    def fill(self, made: Saying, parts: list[tuple[str, Segment]], name: str) -> None:
        """First values, where they are not Caffe's own; of several in one field the first counts."""
        told: set[str] = set()
        for role, part in parts:
            field = "filler" if made.message["type"] == "Bias" else FIELDS.get(role.split("_")[0], "")
            if not field or not name or field in told:
                continue
            told.add(field)
            try:
                message = filler(part.filler)
            except Lacking as reason:
                self.notes.append(f"{part.name} begins as 0 there: {reason}")
                continue
            if message.fields.get("type") != ["constant"] or message["value"] != USUAL.get(role, 0.0):
                made.settings(name).put(field, plain(message))


def plain(message: Message) -> Message:
    """A constant of 0 is the filler of no words."""
    if message["type"] == "constant":
        message.fields.pop("type")
    return message


def blobs(engine: Engine, line: Line, parts: list[tuple[str, Segment]]) -> list[Any]:
    """The arrays of a layer; of a BatchNorm its statistics (its scale and bias are another layer's)."""
    states = STATES.get(line.layer.type, ())
    if states:
        found = engine.net.store.states
        return [engine.memory.logical(found[f"{line.name}.{state}"].handle) for state in states]
    return [engine.tested.logical(part.handle.data) for _, part in parts]
