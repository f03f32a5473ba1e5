"""The layers of one or several nets of Caffe's as one list: each once, with the phases that it is in, wired phase by phase."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dltrain.caffe.message import Message
from dltrain.caffe.states import keeps
from dltrain.errors import DataError
from dltrain.registry import LAYERS
from dltrain.translate.caffe_layers import Keys, is_source, keys_of, kind_of
from dltrain.translate.caffe_sources import batches
from dltrain.translate.yaml_text import without_defaults

PHASES = ("train", "test", "deploy")


@dataclass(frozen=True)
class Field:
    """What a data layer brings in, by the name that it has here."""

    name: str


@dataclass(frozen=True)
class Top:
    """A top of a piece, by number."""

    piece: int
    number: int = 0


Blob = Field | Top


@dataclass
class Piece:
    """A layer of theirs; where two phases have one of the same name and the same settings, it stands for both."""

    layer: Message
    path: str
    keys: Keys | None  # None: its type is not known here
    phases: list[str]
    name: str = ""  # ours
    reads: dict[str, list[Blob]] = field(default_factory=dict)  # phase -> what its bottoms are there
    bottoms: list[Blob] = field(default_factory=list)  # what holds for all phases, those that leave a line out included

    @property
    def type(self) -> str:
        return str(self.layer["type"])

    @property
    def passes(self) -> bool:
        """True for what only hands its bottom on."""
        return self.type == "Split" or (self.type == "Dropout" and self.keys is not None and self.keys["dropout_ratio"] == 0)

    @property
    def theirs(self) -> str:
        return str(self.layer["name"] or "")

    @property
    def where(self) -> str:
        """'conv1' (Convolution, net.prototxt:12)"""
        line = f":{self.layer.line}" if self.layer.line else ""
        return f"'{self.theirs}' ({self.type}, {Path(self.path).name}{line})"


@dataclass
class Sight:
    """What of a file is there in one phase: the layers that its rules keep."""

    phase: str
    path: str
    layers: list[Message]
    left: list[Message]  # those that its rules leave out


def sight(phase: str, path: str, net: Message, level: int, stages: Collection[str]) -> Sight:
    """The layers of a net in a phase of ours; deploy is TEST there."""
    theirs = "TRAIN" if phase == "train" else "TEST"
    own = net["state"]
    both = {*stages, *map(str, own.all("stage"))}
    kept = [layer for layer in net.all("layer") if keeps(layer, theirs, level or int(own["level"]), both)]
    return Sight(phase, path, kept, [layer for layer in net.all("layer") if not any(layer is one for one in kept)])


class Assembly:
    """All pieces, the order of each phase, and the data layers of each phase."""

    def __init__(self, sights: list[Sight], notes: list[str]) -> None:
        self.notes = notes
        self.pieces: list[Piece] = []
        self.order: dict[str, list[int]] = {}
        self.sources: dict[str, list[Message]] = {}
        self.left = {one.phase: one.left for one in sights}
        self.made: dict[int, int] = {}  # id of a message -> its piece
        for one in sights:
            self.sources[one.phase] = sources_of(one.layers)
            self.order[one.phase] = self.placed(one)

    def placed(self, one: Sight) -> list[int]:
        """The pieces of a phase in its order, new ones added."""
        found: list[int] = []
        sizes = {size for layer in self.sources[one.phase] for size in batches(layer)}
        for layer in one.layers:
            if any(layer is source for source in self.sources[one.phase]):
                continue
            number = self.made.get(id(layer))
            keys = None if number is not None else keys_or_none(layer, one.path, sizes)
            if number is None:
                number = self.twin(layer, keys, one, found)
            if number is None:
                number = len(self.pieces)
                self.pieces.append(Piece(layer, one.path, keys, []))
            self.made[id(layer)] = number
            self.pieces[number].phases.append(one.phase)
            found.append(number)
        return found

    def twin(self, layer: Message, keys: Keys | None, one: Sight, taken: list[int]) -> int | None:
        """A piece of other phases that is the same layer: by name and type, and by what it says."""
        for number, piece in enumerate(self.pieces):
            same = piece.theirs == layer["name"] and piece.type == layer["type"] and number not in taken
            if not same or one.phase in piece.phases or len(piece.layer.all("bottom")) != len(layer.all("bottom")):
                continue
            if alike(kind_type(layer), piece.keys, keys, piece.phases, one.phase):
                adopt(piece, keys)
                return number
            if one.phase != "deploy" and piece.keys is not None:
                self.notes.append(f"{piece.where}: has other settings in phase {one.phase}; both stand in the net")
        return None

    # --- wiring ---
    def wire(self, fields: dict[int, list[str]]) -> dict[str, dict[str, Blob]]:
        """What each bottom is, in each phase; returns the blobs at the end of each phase by their names there.

        `fields` are the names here of the tops of each data layer, by the id of its message.
        """
        ends: dict[str, dict[str, Blob]] = {}
        for phase, order in self.order.items():
            blobs: dict[str, Blob] = {}
            for layer in self.sources[phase]:
                blobs |= dict(zip(map(str, layer.all("top")), map(Field, fields[id(layer)])))
            for number in order:
                piece = self.pieces[number]
                piece.reads[phase] = [self.found(piece, str(name), blobs, phase) for name in piece.layer.all("bottom")]
                tops = [str(top) for top in piece.layer.all("top")]
                if piece.passes and piece.reads[phase]:
                    blobs |= dict.fromkeys(tops, piece.reads[phase][0])
                else:
                    blobs |= {top: Top(number, at) for at, top in enumerate(tops)}
            ends[phase] = blobs
        for number in self.sequence():
            self.settle(self.pieces[number])
        return ends

    def found(self, piece: Piece, name: str, blobs: dict[str, Blob], phase: str) -> Blob:
        if name in blobs:
            return blobs[name]
        words = f"{piece.path}: {piece.where} reads the blob '{name}', which no layer above it makes"
        maker = next((layer for layer in self.left[phase] if name in layer.all("top")), None)
        if maker is not None:
            stages = dict.fromkeys(str(stage) for rule in maker.all("include") for stage in rule.all("stage"))
            way_out = f"; {' '.join(f'--stage {stage}' for stage in stages)} lets it in" if stages else ""
            words += f" in phase {phase}: the rules of '{maker['name']}' (line {maker.line}) keep it out{way_out}"
        raise DataError(words)

    def sequence(self) -> list[int]:
        """All pieces in one order: that of the first phase, those of others behind what stands before them there."""
        made: list[int] = []
        for order in self.order.values():
            at = 0
            for number in order:
                if number in made:
                    at = max(at, made.index(number) + 1)
                else:
                    made.insert(at, number)
                    at += 1
        return made

    def settle(self, piece: Piece) -> None:
        """One blob for each bottom that is right in every phase: a line that a phase leaves out is passed through."""
        piece.bottoms = []
        for place in range(len(piece.layer.all("bottom"))):
            meant = {phase: self.resolved(blobs[place], phase) for phase, blobs in piece.reads.items()}
            known = list(dict.fromkeys(blobs[place] for blobs in piece.reads.values()))
            right = [blob for blob in known if all(self.resolved(blob, phase) == want for phase, want in meant.items())]
            if not right:
                right = self.chained(known, meant)
            if not right:
                self.notes.append(f"{piece.where}: reads one blob in {' and another in '.join(meant)}; the first is written")
                right = known
            piece.bottoms.append(right[0])

    def chained(self, known: list[Blob], meant: dict[str, Blob]) -> list[Blob]:
        """Two lines of different phases over the same blob, one behind the other: each phase passes through one of them."""
        if len(known) != 2 or not all(isinstance(blob, Top) and blob.number == 0 for blob in known):
            return []
        first, second = (self.pieces[blob.piece] for blob in known if isinstance(blob, Top))
        if set(first.phases) & set(second.phases) or not (first.bottoms and second.bottoms):
            return []
        before = first.bottoms[0], second.bottoms[0]
        for below in before:
            first.bottoms[0], second.bottoms[0] = known[1], below
            fine = all(self.resolved(known[0], phase) == want for phase, want in meant.items())
            through = all(self.resolved(below, phase) == self.resolved(one, phase)
                          for piece, one in zip((first, second), before) for phase in piece.phases)  # fmt: skip
            if fine and through:
                return known[:1]
        first.bottoms[0], second.bottoms[0] = before
        return []

    def resolved(self, blob: Blob, phase: str) -> Blob:
        """What a blob is in a phase, past the lines that the phase leaves out: their first bottom."""
        while isinstance(blob, Top) and phase not in self.pieces[blob.piece].phases and self.pieces[blob.piece].bottoms:
            blob = self.pieces[blob.piece].bottoms[0]
        return blob


def sources_of(layers: list[Message]) -> list[Message]:
    """The data layers, what is fed from outside last; made-up data are one only where there are no others."""
    found = sorted((layer for layer in layers if is_source(layer)), key=lambda layer: bool(layer["type"] == "Input"))
    return [layer for layer in found if layer["type"] != "DummyData"] or found


def kind_type(layer: Message) -> str:
    """The type that a layer is here; "" where it is none."""
    kind = kind_of(layer)
    return kind.type if kind is not None else ""


def keys_or_none(layer: Message, path: str, sizes: Collection[int]) -> Keys | None:
    """The keys of a layer whose type is known here; DataError where one of its words is not."""
    if kind_of(layer) is None and layer["type"] != "Split":
        return None
    if layer["type"] == "Split":
        return {}
    try:
        keys = {key: value for key, value in keys_of(layer).items() if value is not None}
    except KeyError as error:
        raise DataError(
            f"{path}:{layer.line}: layer '{layer['name']}' ({layer['type']}): {error} is not a choice of Caffe's"
        ) from None
    if kind_type(layer) == "Reshape" and keys["axis"] == 0 and keys["shape"] and keys["shape"][0] in sizes:
        keys["shape"][0] = 0  # to the very batch size: the batch as it comes
    return keys


def alike(type: str, one: Keys | None, other: Keys | None, phases: list[str], phase: str) -> bool:
    """Whether two layers compute the same.  What BatchNorm does in a phase without a word may also be said."""
    if one is None or other is None:
        return one is other

    def plain(keys: Keys, phases: list[str]) -> dict[str, Any]:
        usual = "train" not in phases
        kept = without_defaults(LAYERS.get(type), keys)
        return {key: value for key, value in kept.items() if key != "use_global_stats" or value != usual}

    return plain(one, phases) == plain(other, [phase])


def adopt(piece: Piece, other: Keys | None) -> None:
    """Statistics of the batch in train and kept ones elsewhere, said phase by phase, are what goes without saying."""
    if piece.keys is not None and other is not None and piece.keys.get("use_global_stats") != other.get("use_global_stats"):
        piece.keys.pop("use_global_stats", None)
