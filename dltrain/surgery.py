"""Net surgery on flat lines: linear layers become the convolutions that compute the same, or the other way about."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from dltrain.blocks import read_blocks
from dltrain.config import Config
from dltrain.elementwise import Elementwise
from dltrain.errors import ConfigError
from dltrain.expand import Expansion, Placed, each
from dltrain.store import Store
from dltrain.vars import named, read_vars
from dltrain.wiring import PHASES, Line

# they do the same to every place of a map, whether it has one place, many, or is a row
ALIKE = {
    "BatchNorm",
    "Bias",
    "Dropout",
    "Eltwise",
    "LogSoftmax",
    "PReLU",
    "Scale",
    "Slice",
    "Softmax",
    "Split",
    "Concat",
    "Maxout",
}
EQUAL = ("mean", "max", "sum")  # of one number they make that number
WINDOW = ("kernel_size", "stride", "pad", "dilation", "group", "axis")  # keys of a convolution that a linear layer lacks
TAKERS = ("InnerProduct", "Silence")  # they read maps and rows
Sizes = tuple[int, ...]


class Surgery:
    """The lines of a net, and what is changed of them.

    lines     flat, in order; to be written
    weights   layer -> the new shape of its weight;   `turned`: those that were stored transposed
    """

    def __init__(self, config: Config) -> None:
        document = config.document
        names = read_vars(document, document.value.get("vars")) | named(config.feed)
        self.net = config.net
        self.lines = Expansion(document, read_blocks(document), names, next(iter(config.feed.fields), None)).lines
        self.placed = {line.name: line for line in self.lines}
        self.shapes: dict[str, Sizes] = {}  # of one sample, by blob, as they are now
        for phase in PHASES:
            for name, shape in config.net.shapes.get(phase, {}).items():
                self.shapes.setdefault(name, tuple(shape[1:]))
        self.readers: dict[str, list[Line]] = {line.name: [] for line in self.net.lines}
        for line in self.net.lines:
            for ref in (ref for ref in line.refs if ref.line >= 0):
                self.readers[self.net.lines[ref.line].name].append(line)
        self.known: dict[tuple[str, str], bool] = {}  # answers to `stays_map` and its kin, by question and line
        self.sizes: dict[str, Sizes] = {name: tuple(shape) for name, shape in config.net.fields.items()}  # as they become
        self.alias: dict[str, Any] = {}  # lines that are left out -> what their readers read instead
        self.weights: dict[str, Sizes] = {}
        self.turned: set[str] = set()

    # --- both ways ---
    def sources(self, line: Line) -> list[str]:
        """The blobs that a line reads."""
        refs = [ref for ref in line.refs if ref.number is None and (ref.field or ref.line >= 0)]
        return [ref.field or self.net.lines[ref.line].tops[ref.top] for ref in refs]

    def changed(self, blob: str) -> bool:
        return self.sizes.get(blob, self.shapes.get(blob)) != self.shapes.get(blob)

    def alike(self, line: Line) -> bool:
        """Whether a line treats a map as it treats a row."""
        channels = getattr(line.layer, "axis", 1) in (1, ()) or line.layer.type in ("Bias", "Scale") and len(line.refs) == 1
        return isinstance(line.layer, Elementwise) or line.layer.type in ALIKE and channels

    def flattens(self, line: Line) -> bool:
        """Flatten, or a Reshape that does what it does: a row of all numbers of a sample."""
        top, source = self.shapes.get(line.name, ()), self.sources(line)
        return line.layer.type in ("Flatten", "Reshape") and len(top) == 1 and len(self.shapes[source[0]]) > 1

    def leave_out(self, line: Line) -> None:
        """Its readers read what it read."""
        source = self.sources(line)[0]
        self.alias[line.name] = source
        self.sizes[line.name] = self.sizes.get(source, self.shapes[source])

    def pass_on(self, line: Line) -> None:
        """A line that treats all places alike has those of its bottom."""
        places = next(self.sizes[blob][1:] for blob in self.sources(line) if self.changed(blob))
        for top in line.tops:
            if top in self.shapes:
                self.sizes[top] = (self.shapes[top][0], *places)

    def finish(self) -> None:
        """Lines that are left out go, and their readers are told."""
        self.check_shared(self.net.store)

        def follow(blob: Any) -> Any:
            while isinstance(blob, str) and blob in self.alias:
                blob = self.alias[blob]
            return blob

        self.lines = [line for line in self.lines if line.name not in self.alias]
        for line in self.lines:
            line.above = follow(line.above)
            if line.item.get("bottom") is not None:
                line.item["bottom"] = each(line.item["bottom"], lambda blob, path: follow(blob), ())

    def check_shared(self, store: Store) -> None:
        for (layer, _), owner in store.turned.items():
            if {layer, owner.layer} & set(self.weights):
                words = f"layer '{layer}' has the matrix of '{owner.layer}' transposed, which a convolution cannot have"
                raise ConfigError(f"{words}; leave the two as they are, or give '{layer}' a matrix of its own")

    def every(self, question: str, line: Line, takes: Callable[[Line], bool]) -> bool:
        """Whether all readers of a line take what it makes; losses and metrics always do."""
        if (question, line.name) not in self.known:
            readers = [one for one in self.readers[line.name] if one.layer.kind == "layer"]
            self.known[question, line.name] = all(one.layer.type in TAKERS or self.flattens(one) or takes(one) for one in readers)
        return self.known[question, line.name]

    # --- linear layers to convolutions ---
    def convolve(self) -> None:
        """InnerProduct to Convolution, wherever it reads a map and what reads it takes one."""
        for line in (self.net.lines[number] for number in self.net.order):
            sources, layer = self.sources(line), line.layer
            x = self.sizes.get(sources[0], self.shapes[sources[0]]) if sources else ()
            if layer.type == "InnerProduct" and self.stays_map(line) and len(x) > 1 and layer.axis in (1, -len(x)):  # type: ignore[attr-defined]
                self.to_convolution(line, x)
            elif layer.type == "Pooling" and layer.global_pooling and self.leads_to_linear(line):  # type: ignore[attr-defined]
                self.to_window(line, x)
            elif self.flattens(line) and self.stays_map(line) and self.leads_to_linear(line):
                self.leave_out(line)
            elif self.alike(line) and any(self.changed(blob) for blob in sources):
                self.pass_on(line)
        if not self.weights:
            raise ConfigError("no InnerProduct of the net reads a map: it is fully convolutional as it is, or never will be")
        self.average()
        self.finish()

    def stays_map(self, line: Line) -> bool:
        """Whether all that read a line can do with a map; losses and metrics get its mean."""
        return self.every("map", line, lambda one: self.alike(one) and self.stays_map(one))

    def leads_to_linear(self, line: Line) -> bool:
        """Whether an InnerProduct that becomes a convolution reads a line, through lines that treat all places alike."""
        if ("linear", line.name) not in self.known:
            self.known["linear", line.name] = any(
                one.layer.type == "InnerProduct" and self.stays_map(one)
                or (self.alike(one) or self.flattens(one)) and self.leads_to_linear(one)
                for one in self.readers[line.name]
            )  # fmt: skip
        return self.known["linear", line.name]

    def to_convolution(self, line: Line, x: Sizes) -> None:
        """(O, C h w) is (O, C, h, w) over the whole map."""
        item, layer = self.placed[line.name].item, line.layer
        turned, outputs = item.pop("transpose", False), layer.num_output  # type: ignore[attr-defined]
        item.pop("axis", None)
        item |= {"type": "Convolution", "kernel_size": short(x[1:])}
        self.weights[line.name] = (outputs, *x)
        self.turned |= {line.name} if turned else set()
        self.sizes[line.name] = (outputs, *(1 for _ in x[1:]))

    def to_window(self, line: Line, x: Sizes) -> None:
        """Pooling over the whole map becomes a window of its size, which can slide."""
        item = self.placed[line.name].item
        item.pop("global_pooling", None)
        item |= {"kernel_size": short(x[1:])}

    def average(self) -> None:
        """Losses and metrics read the mean over all places of a map that was a row: of one place, the row itself."""
        made: dict[str, str] = {}
        taken = {name for line in self.net.lines for name in line.tops} | set(self.net.fields)
        for line in self.net.lines:
            blobs = [blob for blob in self.sources(line) if self.changed(blob)] if line.layer.kind != "layer" else []
            place = self.lines.index(self.placed[line.name])
            for blob in (blob for blob in dict.fromkeys(blobs) if blob not in made):
                mean, row = (new(f"{blob.replace('.', '_')}_{word}", taken) for word in ("mean", "row"))
                keys = {"name": mean, "type": "Pooling", "pool": "mean", "global_pooling": True}
                self.lines[place:place] = [Placed(mean, keys, (), blob), Placed(row, {"name": row, "type": "Flatten"}, (), mean)]
                made[blob] = row
            item = self.placed[line.name].item
            if blobs:
                item["bottom"] = each(item["bottom"], lambda blob, path: made.get(blob, blob), ())

    # --- convolutions to linear layers ---
    def connect(self) -> None:
        """Convolution to InnerProduct, wherever its kernel covers the whole map and what reads it takes a row."""
        for line in (self.net.lines[number] for number in self.net.order):
            sources = self.sources(line)
            if self.covers(line) and self.stays_row(line):
                item, x = self.placed[line.name].item, self.shapes[sources[0]]
                for key in WINDOW:
                    item.pop(key, None)
                item["type"] = "InnerProduct"
                outputs = line.layer.num_output  # type: ignore[attr-defined]
                self.weights[line.name] = (outputs, prod(x))
                self.sizes[line.name] = (outputs,)
            elif sources and self.changed(sources[0]) and (self.flattens(line) or self.keeps_one(line)):
                self.leave_out(line)
            elif self.alike(line) and any(self.changed(blob) for blob in sources):
                self.pass_on(line)
        if not self.weights:
            raise ConfigError("no Convolution of the net covers all of its bottom and is read by what takes a row")
        self.finish()

    def covers(self, line: Line) -> bool:
        """A kernel over all of the bottom, at one place."""
        if line.layer.type != "Convolution":
            return False
        layer, x = line.layer, self.shapes[self.sources(line)[0]]
        places = self.shapes[line.name][1:]
        whole = [1 if size == 1 else size for size in x[1:]]
        kernel = self.net.store.segments.get((line.name, "weight"))
        same = kernel is not None and list(kernel.shape[2:]) == whole
        return same and set(places) == {1} and set(layer.pad) == {0} and layer.group == 1 and layer.axis == 1  # type: ignore[attr-defined]

    def keeps_one(self, line: Line) -> bool:
        """Pooling of one place."""
        return line.layer.type == "Pooling" and line.layer.pool in EQUAL and set(self.shapes[line.name][1:]) == {1}  # type: ignore[attr-defined]

    def stays_row(self, line: Line) -> bool:
        """Whether all that read a line can do with a row."""
        return self.every(
            "row", line, lambda one: self.keeps_one(one) or (self.covers(one) or self.alike(one)) and self.stays_row(one)
        )


def new(name: str, taken: set[str]) -> str:
    """The name, with as many _ behind it as it takes to be the only one."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def short(sizes: Sizes) -> Any:
    """One number where all are alike."""
    return sizes[0] if len(set(sizes)) == 1 else list(sizes)
