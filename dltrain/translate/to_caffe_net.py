"""The lines of a net as layers of Caffe: in an order that Caffe takes, with rules for phases, for training or for deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dltrain.caffe.message import Message
from dltrain.config import Config
from dltrain.engine import Engine
from dltrain.graph import Builder, Demand
from dltrain.tensor import Shape
from dltrain.translate.caffe_layers import KINDS
from dltrain.translate.names import unique
from dltrain.translate.to_caffe_layers import NAMED, Lacking, Saying, dims, said
from dltrain.translate.to_caffe_params import Params, blobs
from dltrain.wiring import ABSENT, Line, Ref

THEIRS = {"train": "TRAIN", "test": "TEST"}
ALL_TOPS = ("Filter", "Slice", "Split")


@dataclass
class Written:
    """The layers of one file, and the arrays of those that have any."""

    layers: list[Message] = field(default_factory=list)
    weights: dict[str, list[Any]] = field(default_factory=dict)


class Layers:
    """Lines to layers.  `wrong` gets each line that cannot be said, and why."""

    def __init__(self, config: Config, engine: Engine | None, notes: list[str]) -> None:
        self.net, self.engine, self.notes = config.net, engine, notes
        self.wrong: dict[str, str] = {}
        self.params = Params(config.net, notes)
        self.taken = {line.name for line in config.net.lines}
        self.scales: dict[str, str] = {}  # BatchNorm -> its Scale
        self.read = {(ref.line, ref.top) for line in config.net.lines for ref in line.refs if ref.line >= 0}

    # --- both files ---
    def training(self, data: list[Message]) -> Written:
        """Everything of phases train and test, behind the data."""
        made = Written(list(data))
        for number in self.net.order:
            line = self.net.lines[number]
            phases = [phase for phase in THEIRS if phase in line.phases]
            if phases:
                self.put(made, number, self.names(line.refs), phases, True)
                self.pass_by(made, number, phases)
        return made

    def deploy(self, batch: int) -> Written:
        """What phase deploy needs, fed by Input layers."""
        demand = Demand("deploy", (1,), "deploy")
        builder = Builder(self.net.lines, self.net.order, self.net.fields, self.net.store, demand, self.net.seed)
        needed = builder.needed()
        refs = {
            number: [ref if ref == ABSENT else builder.resolve(ref) for ref in self.net.lines[number].refs] for number in needed
        }
        fields = list(dict.fromkeys(ref.field for each in refs.values() for ref in each if ref.field is not None))
        made = Written([fed([name], [Shape((batch, *self.net.fields[name]))]) for name in self.net.fields if name in fields])
        for number in needed:
            self.put(made, number, self.names(refs[number]), [], False)
        return made

    # --- a line ---
    def put(self, made: Written, number: int, bottoms: list[str], phases: list[str], trains: bool) -> None:
        """One layer, or two for a BatchNorm with a scale."""
        line = self.net.lines[number]
        try:
            layers = self.said(number, bottoms, trains)
        except Lacking as reason:
            self.wrong[line.name] = f"layer '{line.name}' ({line.layer.type}): {reason}"
            return
        for layer, arrays in layers:
            if len(phases) == 1:
                layer.add("include", Message("NetStateRule").put("phase", THEIRS[phases[0]]))
            made.layers.append(layer)
            if arrays:
                made.weights[layer["name"]] = arrays

    def said(self, number: int, bottoms: list[str], trains: bool) -> list[tuple[Message, list[Any]]]:
        line = self.net.lines[number]
        layer: Any = line.layer
        shapes = self.shapes(line)
        message = said(layer, shapes)
        parts = self.params.of(line, len(bottoms))
        top = Message("LayerParameter").put("name", line.name).put("type", message["type"])
        top.add("bottom", *bottoms) if bottoms else None
        top.add("top", *self.tops(number)) if line.tops else None
        if trains:
            self.pay(line, top)
        whole = Saying(layer, shapes, Message("LayerParameter", {**top.fields, **message.fields}), set())
        if layer.type == "BatchNorm" and line.spec("").freeze:
            whole.settings("batch_norm_param").put("use_global_stats", True)
        arrays = blobs(self.engine, line, parts) if self.engine is not None else []
        if layer.type == "BatchNorm":
            return [(whole.message, arrays), *self.scale(line, parts, trains)]
        if trains:
            self.specify(whole, parts, kind_settings(layer.type))
        return [(whole.message, arrays)]

    def scale(self, line: Line, parts: Any, trains: bool) -> list[tuple[Message, list[Any]]]:
        """The scale and bias of a BatchNorm, in its place."""
        if not parts:
            return []
        if line.name not in self.scales:
            self.scales[line.name] = unique(f"{line.name}_scale", self.taken)
            self.taken.add(self.scales[line.name])
        message = Message("LayerParameter").put("name", self.scales[line.name]).put("type", "Scale")
        made = Saying(line.layer, [], message.add("bottom", line.name).add("top", line.name), set())
        made.settings("scale_param").put("bias_term", True)
        if trains:
            self.specify(made, parts, "scale_param")
        return [(made.message, [self.engine.tested.logical(part.handle.data) for _, part in parts] if self.engine else [])]

    def specify(self, made: Saying, parts: Any, name: str) -> None:
        """param and fillers."""
        specs = self.params.specs(parts)
        if specs:
            made.message.add("param", *specs)
        self.params.fill(made, parts, name)

    @staticmethod
    def pay(line: Line, message: Message) -> None:
        """loss_weight, one a top, and propagate_down, one a bottom."""
        if line.loss_weight is not None:
            more = len(message.all("top")) - 1
            message.add("loss_weight", float(line.loss_weight), *[0.0] * more)
        if line.propagate_down is not None:
            count = len(message.all("bottom"))
            given = list(line.propagate_down)
            message.add("propagate_down", *(given * count if len(given) == 1 else given))

    # --- blobs ---
    def names(self, refs: list[Ref]) -> list[str]:
        """What the bottoms are called; a constant number has no name in Caffe."""
        return [self.name(ref) for ref in refs if ref != ABSENT]

    def name(self, ref: Ref) -> str:
        if ref.number is not None:
            return f"{ref.number:g}"
        return ref.field if ref.field is not None else self.net.lines[ref.line].tops[ref.top]

    def shapes(self, line: Line) -> list[Shape]:
        """The shapes of the bottoms; Lacking where one is a number that stands in the text."""
        if any(ref.number is not None for ref in line.refs):
            raise Lacking("Caffe reads no number as a bottom")
        phase = next(phase for phase in ("train", "test", "deploy") if phase in line.phases)
        builder = Builder(self.net.lines, self.net.order, self.net.fields, self.net.store, Demand(phase, (1,)), self.net.seed)
        return [self.net.shapes[phase][self.name(builder.resolve(ref))] for ref in line.refs if ref != ABSENT]

    def tops(self, number: int) -> list[str]:
        """The first top, and the further ones as far as somebody reads them; all where Caffe wants all."""
        line = self.net.lines[number]
        layer: Any = line.layer
        last = max((top for owner, top in self.read if owner == number), default=0)
        known = KINDS.get(layer.type)
        if layer.type in ALL_TOPS or (layer.type in ("LSTM", "RNN") and not layer.carry):
            return line.tops
        if last and (known is None or layer.type in ("LSTM", "RNN") or last > len(known.tops)):
            raise Lacking(f"Caffe's does not give {line.tops[last].partition('.')[2]}")
        return line.tops[: last + 1]

    def pass_by(self, made: Written, number: int, phases: list[str]) -> None:
        """In the phase that leaves a line out, a Split that passes its first bottom to whoever reads it."""
        line = self.net.lines[number]
        for phase in THEIRS:
            readers = [other for other in self.net.lines if phase in other.phases]
            wanted = {ref.top for other in readers for ref in other.refs if ref.line == number}
            if phase in phases or not wanted or not line.refs:
                continue
            message = Message("LayerParameter").put("name", unique(f"{line.name}_passed", self.taken)).put("type", "Split")
            self.taken.add(message["name"])
            message.add("bottom", self.name(line.refs[0])).add("top", *(line.tops[top] for top in sorted(wanted)))
            made.layers.append(message.add("include", Message("NetStateRule").put("phase", THEIRS[phase])))


def kind_settings(type: str) -> str:
    known = KINDS.get(NAMED.get(type, type))
    return known.settings if known is not None else ""


def fed(names: list[str], shapes: list[Shape]) -> Message:
    """An Input layer."""
    made = Message("LayerParameter").put("name", names[0]).put("type", "Input").add("top", *names)
    return made.put("input_param", Message("InputParameter").add("shape", *map(dims, shapes)))
