"""A net of Caffe's as lines of ours: names, bottoms, phases, parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from dltrain.caffe.message import Message
from dltrain.caffe.schema import MESSAGES
from dltrain.errors import DataError
from dltrain.registry import LAYERS
from dltrain.translate.caffe_layers import WITHOUT, Keys, kind_of, tidy
from dltrain.translate.caffe_params import Param, filler_of, params_of, share, short
from dltrain.translate.caffe_pieces import Assembly, Blob, Field, Piece, Top, kind_type
from dltrain.translate.caffe_sources import batches
from dltrain.translate.draft import Part
from dltrain.translate.names import unique

MANY_LINES = ("Convolution", "Deconvolution", "InnerProduct")  # do the same to any number of bottoms


@dataclass
class Lines:
    """The net so far: the lines, where each top of a piece is, and the parameters in the order of the lines."""

    assembly: Assembly
    fields: list[str]
    parts: list[Part] = field(default_factory=list)
    of: dict[int, list[str]] = field(default_factory=dict)  # piece -> its lines
    params: list[Param] = field(default_factory=list)
    deploy: bool = False  # whether there is a deploy net to go by
    untold: list[str] = field(default_factory=list)  # fields whose shapes the files do not tell
    blobs: dict[str, dict[str, str]] = field(default_factory=dict)  # phase -> their name of a blob at its end -> ours

    def blob(self, blob: Blob) -> str:
        """What a blob is called here."""
        if isinstance(blob, Field):
            return blob.name
        piece, names = self.assembly.pieces[blob.piece], self.of[blob.piece]
        if blob.number == 0 or len(names) > 1:
            return names[min(blob.number, len(names) - 1)]
        kind = kind_of(piece.layer)
        assert kind is not None
        if blob.number > len(kind.tops):
            raise DataError(f"{piece.path}: {piece.where} has {len(piece.layer.all('top'))} tops, one more than there are here")
        return f"{names[0]}.{kind.tops[blob.number - 1]}"

    def name_blobs(self, ends: dict[str, dict[str, Blob]]) -> None:
        """Keeps what each blob of theirs is called here."""
        for phase, blobs in ends.items():
            there = {theirs: blob for theirs, blob in blobs.items() if not isinstance(blob, Top) or blob.piece in self.of}
            self.blobs[phase] = {theirs: self.blob(blob) for theirs, blob in there.items()}


def translate(assembly: Assembly, fields: list[str], deploy: bool, notes: list[str]) -> Lines:
    """All pieces that can be said, as lines; DataError names all that cannot, and are needed."""
    lines = Lines(assembly, fields, deploy=deploy)
    order = [number for number in assembly.sequence() if not assembly.pieces[number].passes]
    order = left_out(assembly, order, notes)
    taken = set(fields)
    for number in order:
        piece = assembly.pieces[number]
        piece.name = unique(cleaned(piece.theirs, piece.type), taken)
        taken.add(piece.name)
        if piece.name != piece.theirs:
            notes.append(f"{piece.where}: is called {piece.name} here")
        lines.of[number] = [piece.name]
        if kind_type(piece.layer) in (*MANY_LINES, "DummyData"):
            for _ in piece.layer.all("top")[1:]:
                lines.of[number].append(unique(piece.name, taken))
                taken.add(lines.of[number][-1])
    for number in order:
        put(lines, number, notes)
    share(lines.params, notes)
    rename_loss(lines, notes)
    return lines


def cleaned(name: str, type: str) -> str:
    """A name of letters, digits, _ and -, in parts between /."""
    parts = [re.sub(r"[^A-Za-z0-9_-]+", "_", part).strip("_") or "_" * bool(part) for part in name.split("/")]
    return "/".join(part for part in parts if part)[-200:].lstrip("/") or type.lower()


# --- what cannot be said ---
def left_out(assembly: Assembly, order: list[int], notes: list[str]) -> list[int]:
    """The order without what is not known here and not needed; DataError where it is needed."""
    pieces, kept = assembly.pieces, list(order)
    unknown = [number for number in order if pieces[number].keys is None]
    out = set(unknown)
    ends = set(order) - read_by(pieces, order)  # what nobody reads is the net's output: needed where it is known
    while True:
        read = read_by(pieces, kept)
        idle = [number for number in kept if number not in read
                and (number in unknown or number not in ends and reads_any(pieces[number], out))]  # fmt: skip
        if not idle:
            break
        notes += [f"left out: {pieces[number].where}: {reason(pieces[number], number in unknown)}" for number in idle]
        out |= set(idle)
        kept = [number for number in kept if number not in idle]
    needed = [(number, pieces[number]) for number in unknown if number in kept or not kept]
    if needed:
        rows = [f"{piece.path}:{piece.layer.line}: '{piece.theirs}' ({piece.type}): {reason(piece, True)}, and "
                f"{reader(pieces, number, kept)} needs it" for number, piece in needed]  # fmt: skip
        head = "not translated; take these layers out of the prototxt, or put known ones in their place:"
        raise DataError("\n".join([head, *rows]))
    if not kept:
        raise DataError(f"{pieces[0].path if pieces else 'the prototxt'}: has no layers besides those that bring in data")
    return kept


def read_by(pieces: list[Piece], numbers: Iterable[int]) -> set[int]:
    """The pieces that some read."""
    return {blob.piece for number in numbers for blob in pieces[number].bottoms if isinstance(blob, Top)}


def reads_any(piece: Piece, numbers: set[int]) -> bool:
    return any(isinstance(blob, Top) and blob.piece in numbers for blob in piece.bottoms)


def reader(pieces: list[Piece], number: int, numbers: list[int]) -> str:
    """Who reads a piece first."""
    found = next((one for one in numbers if reads_any(pieces[one], {number})), None)
    return f"'{pieces[found].theirs}'" if found is not None else "the net"


def reason(piece: Piece, unknown: bool) -> str:
    if piece.type in WITHOUT:
        return WITHOUT[piece.type]
    if not unknown:
        return "it reads what was left out"
    return "a layer in Python code is not run" if piece.type == "Python" else "there is no such layer here"


# --- a line ---
def put(lines: Lines, number: int, notes: list[str]) -> None:
    """A piece as its line, or as several where one layer does the same to several bottoms."""
    piece = lines.assembly.pieces[number]
    kind = kind_of(piece.layer)
    assert kind is not None and piece.keys is not None
    for name in strange(piece.layer, kind.settings):
        notes.append(f"{piece.where}: {name} is no field of Caffe's, and is left out")
    bottoms = [lines.blob(blob) for blob in piece.bottoms]
    if kind.type == "Silence":
        bottoms = [name for name in bottoms if name not in lines.fields]
        if not bottoms:
            return
    if kind.type == "DummyData":
        lines.parts += made_up(lines, piece, lines.of[number], notes)
        return
    if kind.type in ("LSTM", "RNN") and not piece.keys["carry"]:
        exposed = 2 if kind.type == "LSTM" else 1
        bottoms = bottoms if len(bottoms) > 2 + exposed else [*bottoms[:2], "", *bottoms[2:]]
    keys = dict(piece.keys) | weighed(piece, kind.type, notes) | passed(piece) | phased(lines, piece, kind.type)
    names = lines.of[number]
    if len(names) == 1:
        lines.parts.append(Part(names[0], kind.type, keys, bottoms))
    else:
        for place, (name, bottom) in enumerate(zip(names, bottoms)):
            same = {key: value for key, value in keys.items() if key in ("phase",)}
            lines.parts.append(Part(name, kind.type, keys if place == 0 else same | {"share": names[0]}, [bottom]))
    count = 1 if len(names) > 1 else len(piece.bottoms)
    lines.params += params_of(names[0], piece.layer, piece.keys, count, notes, piece.where)


def made_up(lines: Lines, piece: Piece, names: list[str], notes: list[str]) -> list[Part]:
    """A line for each top of made-up data: a sample of them for each of the batch, where there are as many."""
    assert piece.keys is not None
    sizes = {size for layers in lines.assembly.sources.values() for layer in layers for size in batches(layer)}
    shapes, fillers = piece.keys["shapes"], piece.keys["fillers"]
    made = []
    for place, name in enumerate(names):
        shape = shapes[min(place, len(shapes) - 1)] if shapes else [1]
        each = len(shape) > 1 and shape[0] in sizes
        keys: Keys = {"shape": shape[1:] if each else shape or [1]}
        filler = filler_of(fillers[min(place, len(fillers) - 1)], notes, piece.where) if fillers else {"type": "constant"}
        keys |= {"data_filler": short(filler)} if filler != {"type": "constant", "value": 0.0} and fillers else {}
        made.append(Part(name, "DummyData", keys | phased(lines, piece, "DummyData"), lines.fields[:1] if each else []))
    return made


def strange(layer: Message, settings: str) -> list[str]:
    """The fields that a fork has added, but for those that are read."""
    own = [name for name in layer.fields if name not in MESSAGES[layer.kind]]
    said = (layer.all(settings) or [None])[-1]
    inner = [name for name in said.fields if name not in MESSAGES[said.kind] and name != "ceil_mode"] if said is not None else []
    return [*own, *(f"{settings}.{name}" for name in inner)]


def weighed(piece: Piece, type: str, notes: list[str]) -> Keys:
    """loss_weight, where it is not 1 for a loss and 0 for anything else."""
    given = [float(each) for each in piece.layer.all("loss_weight")]
    if any(given[1:]):
        notes.append(f"{piece.where}: the loss_weight of its second top is left out; only the first can have one here")
    usual = 1.0 if LAYERS[type].kind == "loss" else 0.0
    if not given or given[0] == usual:
        return {}
    if LAYERS[type].kind == "metric":
        notes.append(f"{piece.where}: its loss_weight is left out; a metric has no gradient")
        return {}
    return {"loss_weight": tidy(given[0])}


def passed(piece: Piece) -> Keys:
    """propagate_down, where it keeps a gradient back."""
    given = [bool(each) for each in piece.layer.all("propagate_down")]
    return {"propagate_down": given[0] if len(given) == 1 else given} if not all(given) else {}


def phased(lines: Lines, piece: Piece, type: str) -> Keys:
    """phase, where the line is not for all; deploy goes with test, less what needs a label, without a word."""
    phases = [phase for phase in ("train", "test", "deploy") if phase in piece.phases]
    known = [phase for phase in ("train", "test", "deploy") if phase in lines.assembly.order]
    if phases == known or LAYERS[type].kind != "layer" and [*phases, "deploy"] == known:
        return {}
    if not lines.deploy:
        return {"phase": phases[0]} if len(phases) == 1 else {}
    identity = type in ("Dropout", "Silence") and phases == ["train", "test"]
    if identity or phases == ["test", "deploy"]:
        return {} if identity else {"phase": "test"}
    if LAYERS[type].kind != "layer" or only_labels(lines, piece):
        phases = [phase for phase in phases if phase != "deploy"]
        return {"phase": phases[0]} if len(phases) == 1 else {}
    return {"phase": phases[0] if len(phases) == 1 else phases}


def only_labels(lines: Lines, piece: Piece) -> bool:
    """True for what is made of labels alone, which a deployed net does not have in any case."""
    return all(isinstance(blob, Field) and blob.name != lines.fields[0] for blob in piece.bottoms) and bool(piece.bottoms)


def rename_loss(lines: Lines, notes: list[str]) -> None:
    """`loss` is the total: of several losses, none may have that name."""
    paying = [part for part in lines.parts if part.keys.get("loss_weight", LAYERS[part.type].kind == "loss")]
    for part in paying if len(paying) > 1 else ():
        if part.name == "loss":
            rename(lines, "loss", unique("main_loss", {other.name for other in lines.parts}))
            notes.append("the layer 'loss' is called main_loss here: with several losses, loss is the total")


def rename(lines: Lines, old: str, new: str) -> None:
    for part in lines.parts:
        part.name = new if part.name == old else part.name
        part.bottoms = [new + name.removeprefix(old) if name.split(".")[0] == old else name for name in part.bottoms]
    for names in lines.of.values():
        names[:] = [new if name == old else name for name in names]
    for piece in lines.assembly.pieces:
        piece.name = new if piece.name == old else piece.name


def outputs(lines: Lines, ends: dict[str, dict[str, Blob]]) -> list[tuple[str, str, str]]:
    """(phase, their name, our name) of the blobs that nobody reads and that have another name here."""
    found: list[tuple[str, str, str]] = []
    pieces = lines.assembly.pieces
    for phase, blobs in ends.items():
        read = {blob for number in lines.assembly.order[phase] for blob in pieces[number].reads.get(phase, ())}
        for theirs, blob in blobs.items():
            if isinstance(blob, Top) and blob not in read and blob.piece in lines.of:
                ours = lines.blob(blob)
                if ours != theirs and all((theirs, ours) != one[1:] for one in found):
                    found.append((phase, theirs, ours))
    return found
