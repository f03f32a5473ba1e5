"""A net to be looked at: read without its data wherever the keys alone tell the shapes, and cut to one of its graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dltrain import catalogue  # noqa: F401  fills the registries
from dltrain import config as configs
from dltrain.config import Config
from dltrain.errors import ConfigError, DataError, did_you_mean
from dltrain.graph import Builder, Demand, Graph
from dltrain.joined import Joined
from dltrain.layer import Layer
from dltrain.ops.signature import Tracer
from dltrain.run import Run
from dltrain.source import Source
from dltrain.tensor import Shape
from dltrain.wiring import ABSENT, Line, Ref

PHASES = ("train", "test", "deploy")


def sketch(path: str, settings: tuple[str, ...]) -> Config:
    """A config, or that of a run, with shapes and without samples."""
    run = Run.find(Path(path))
    return configs.read(run.config if run else path, settings, need_solver=False, promise=fields_of)


def fields_of(source: Source) -> dict[str, Shape]:
    """What the source promises; where its keys do not tell, what its files say."""
    one = source.main if isinstance(source, Joined) else source
    promised = one.promised()
    if isinstance(source, Joined):
        source.classes = getattr(one, "classes", {})
    if promised:
        return promised
    try:
        source.open()
    except DataError as error:
        raise DataError(f"the shapes of the net hang on the data, which cannot be had: {error}") from None
    return source.fields


@dataclass
class Node:
    """A line that a graph has: its layer set up, what it reads, and the shape of its first top."""

    line: Line
    layer: Layer
    reads: list[str]  # names of blobs
    shape: Shape | None
    phase: str  # whose graph it was taken from


class View:
    """The lines of one graph of a net, or (without one) of all of them together.

    nodes    name -> Node, in an order in which every reader follows its writers
    fields   what is read of the source: name -> shape with the batch axis
    graphs   phase -> its graph for a batch: train, and test for what only that has
    """

    def __init__(self, config: Config, wanted: str | None = None) -> None:
        self.config, self.wanted = config, wanted
        self.batch = config.feed.batch_size("train")
        self.nodes: dict[str, Node] = {}
        self.fields: dict[str, Shape] = {}
        self.graphs: dict[str, Graph] = {}
        phase, upto = chosen(config, wanted)
        for one in ("train", "test") if phase is None else (phase,):
            self.add(one, upto)
        if phase is None:
            self.add_idle()
        place = {line.name: at for at, line in enumerate(config.net.lines[number] for number in config.net.order)}
        self.nodes = dict(sorted(self.nodes.items(), key=lambda item: place[item[0]]))

    @property
    def phase(self) -> str:
        """The phase of the graph that is looked at; of the whole net, that of training."""
        return next(iter(self.graphs))

    def add(self, phase: str, upto: tuple[str, ...]) -> None:
        """The lines of a graph, as if its cuts let all samples through."""
        net, kept = self.config.net, cast(tuple[int, ...], ())
        graph = net.graph(phase, (self.batch,), phase, upto)
        while graph.cut is not None:
            kept = (*kept, self.batch)
            graph = net.graph(phase, (self.batch,), phase, upto, kept)
        self.graphs[phase] = graph
        builder = self.builder(phase)
        for line in (net.lines[number] for number in net.order):
            if line.name in graph.layers and line.name not in self.nodes:
                blob = graph.blobs.get(line.name)
                self.enter(line, graph.layers[line.name], builder, blob.shape if blob is not None and blob.data else None)

    def add_idle(self) -> None:
        """The lines that no loss and no metric needs: they stand in the net, and cost nothing."""
        for line in (self.config.net.lines[number] for number in self.config.net.order):
            phase = next((one for one in PHASES if one in line.phases), None)
            if line.name not in self.nodes and phase is not None:
                builder = self.builder(phase)
                builder.tracer = Tracer([])
                builder.graph.scalar("step")
                layer = builder.place(self.config.net.lines.index(line))
                shapes = [self.shape_of(builder.resolve(ref), phase) for ref in line.refs]
                layer.setup(*shapes)
                self.enter(line, layer, builder, self.config.net.shapes[phase].get(line.name))

    def builder(self, phase: str) -> Builder:
        net = self.config.net
        return Builder(net.lines, net.order, net.fields, net.store, Demand(phase, (self.batch,)), net.seed)

    def shape_of(self, ref: Ref, phase: str) -> Shape | None:
        if ref == ABSENT:
            return None
        return Shape((1,)) if ref.number is not None else self.config.net.shapes[phase][self.name_of(ref)]

    def name_of(self, ref: Ref) -> str:
        return ref.field if ref.field is not None else self.config.net.lines[ref.line].tops[ref.top]

    def enter(self, line: Line, layer: Layer, builder: Builder, shape: Shape | None) -> None:
        refs = [builder.resolve(ref) for ref in line.refs if ref != ABSENT]
        reads = [self.name_of(ref) for ref in refs if ref.number is None]
        self.nodes[line.name] = Node(line, layer, reads, shape, builder.graph.demand.phase)
        for name in reads:
            if name in self.config.net.fields:
                shape = self.config.net.fields[name]
                self.fields.setdefault(name, Shape((self.batch, *shape), shape.dtype))

    def owner(self, blob: str) -> str:
        """The line, or the field, that makes a blob: its further tops are called NAME.ROLE."""
        return blob if blob in self.nodes or blob in self.fields else blob.rpartition(".")[0]


def chosen(config: Config, wanted: str | None) -> tuple[str | None, tuple[str, ...]]:
    """(phase, blobs to make) of a --graph: train, test, deploy, to:BLOB."""
    if wanted is None or wanted in PHASES:
        return wanted, ()
    word, colon, blob = wanted.partition(":")
    if word != "to" or not colon:
        raise ConfigError(f"--graph {wanted}: there is no such graph; {did_you_mean(wanted, [*PHASES, 'to:BLOB'])}")
    known = [name for line in config.net.lines if "test" in line.phases for name in line.tops]
    if blob not in known:
        raise ConfigError(f"--graph {wanted}: there is no blob '{blob}'; {did_you_mean(blob, known)}")
    return "test", (blob,)
