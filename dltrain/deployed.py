"""A trained net as it is used: its deploy graph behind the training's own steps, without the training's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dltrain import catalogue, saving, snapshot  # noqa: F401  the catalogue fills the registries
from dltrain.chain import Chain
from dltrain.checks import check
from dltrain.config import read_solver
from dltrain.data.npy import map_npy
from dltrain.devices import backend
from dltrain.engine import Engine
from dltrain.errors import ConfigError, DataError, Refusal, did_you_mean
from dltrain.graph import Builder, Demand
from dltrain.lines import read_lines, read_rules
from dltrain.marks import Document, load
from dltrain.net import Net
from dltrain.overrides import include, override
from dltrain.recall import Memory, recall
from dltrain.run import Run
from dltrain.sections import EngineKeys, Top
from dltrain.source import ANY_SIZE, Arrays, Shape, Source, empty
from dltrain.supply import anchor, place, read_keys
from dltrain.wiring import Line


class Deployed:
    """The net of a run (or of a config with weights) and the steps before it.

    The source of the config is opened only where `opened` asks for its samples, or where the run remembers nothing of it.
    """

    def __init__(self, path: str, weights: str | None, settings: tuple[str, ...], device: str | None, opened: bool) -> None:
        run = Run.find(Path(path))
        if weights is None and run is None:
            raise ConfigError(f"{path}: has no weights; give the folder of a run (runs/NAME), or --weights FILE")
        self.file, made = (Path(weights), snapshot.read(Path(weights))) if weights or run is None else run.weights()  # type: ignore[arg-type]
        document = load(run.config if run else path)
        include(document)
        override(document, settings)
        anchor(document)
        value = document.value if isinstance(document.value, dict) else {}
        top = check(document, Top, {key: value[key] for key in ("seed",) if key in value}, (), "config") or Top()
        keys = read_keys(document, value.get("data") or {})
        engine = check(document, EngineKeys, value.get("engine") or {}, ("engine",), "engine")
        read_solver(document, value.get("solver"), False)
        rules = read_rules(document, (value.get("solver") or {}).get("param"))
        lines = read_lines(document, value.get("net"), rules)
        document.raise_mistakes()
        self.seed, self.batch_size, self.source = top.seed, keys.batch_size, keys.source
        memory = recall(run.folder) if run else None
        if opened or memory is None:
            self.source.open()
        self.memory = memory or Memory()
        self.learn()
        self.chain = self.steps(document, keys.transform, saving.transforms(made))
        self.net = Net(lines, self.chain.fields, self.batch_size, self.seed, document.wrong)
        document.raise_mistakes()
        self.engine = Engine(self.net, backend(device or engine.device, engine.threads))
        self.engine.initialise(self.seed)
        saving.load(self.file, made, self.engine, weights_only=True)

    def learn(self) -> None:
        """Run and source tell each other what only one of them knows: a source to be predicted may lack the labels."""
        source, memory = self.source, self.memory
        memory.fields = {**memory.fields, **getattr(source, "fields", {})}
        memory.classes = memory.classes or getattr(source, "classes", {})
        memory.names = memory.names or getattr(source, "names", {})
        self.first = next(iter(memory.fields))
        if not hasattr(source, "fields"):
            source.fields, source.classes, source.names = dict(memory.fields), memory.classes, memory.names
        elif self.first not in source.fields:
            raise DataError(f"{source.type}: has no field '{self.first}', which the net was trained on; it has {', '.join(source.fields)}")

    def steps(self, document: Document, steps: list[Any], saved: dict[str, Arrays]) -> Chain:
        """The training's own steps, in their plain form, with what they had computed."""

        def unmade(links: Any, top: str) -> Iterator[Any]:
            raise DataError(f"{self.file}: does not hold what the transform of '{top}' had computed over the training samples")

        try:
            chain = Chain(steps, "test", self.memory.fields, saved, unmade)
            chain.settle()
        except Refusal as refusal:
            document.wrong(("data", *place(refusal.key, read_keys(document, document.value["data"]))[1:]), f"data: {refusal}")
            document.raise_mistakes()
            raise
        self.source.least = chain.least(chain.first)
        return chain

    # --- what comes in ---
    def load(self, path: Path) -> Arrays:
        """A file of the user's, through the steps: the fields of a batch of one."""
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        shape = self.memory.fields[self.first]
        made = np.asarray(map_npy(path)) if path.suffix == ".npy" else self.source.load(path)[self.first]
        if not fits(np.shape(made), shape):
            raise DataError(f"{path}: is {Shape(np.shape(made))}, but the net was trained on {str(shape).replace('-1', 'any')}")
        return self.through({self.first: [made] if ANY_SIZE in shape else np.asarray(made)[None]}, path)

    def through(self, batch: Arrays, path: Path) -> Arrays:
        try:
            return self.chain.run(batch, self.seed, np.zeros(1, np.int64))
        except Refusal as refusal:
            raise DataError(f"{path}: {refusal}") from None

    def check_inputs(self, upto: tuple[str, ...], given: set[str]) -> None:
        """What the deploy graph reads must be there."""
        read = self.net.graph("deploy", (1,), "deploy", upto).inputs
        for field in read:
            if field not in given:
                raise DataError(f"the net reads '{field}' too, which is not there; name a SOURCE that has {' and '.join(read)}")

    # --- what comes out ---
    def ends(self) -> tuple[str, ...]:
        """The blobs that nobody else reads when nothing is scored."""
        net = self.net
        builder = Builder(net.lines, net.order, net.fields, net.store, Demand("deploy", (1,), "deploy"), net.seed)
        active = [number for number in net.order if "deploy" in net.lines[number].phases]
        return tuple(net.lines[number].tops[0] for number in builder.goals(active) if net.lines[number].tops)

    def check_blobs(self, names: tuple[str, ...]) -> None:
        known = self.net.shapes["deploy"]
        for name in names:
            if name not in known:
                raise ConfigError(f"--blob {name}: there is no such blob; {did_you_mean(name, known)}")

    def forward(self, batch: Arrays, names: tuple[str, ...]) -> Arrays:
        """The blobs of a batch, a row a sample."""
        size = len(batch[self.first])
        self.engine.forward("deploy", batch, upto=names)
        made = {name: batch[name] if name in batch else self.engine.blob(name) for name in names}
        for name, rows in made.items():
            if len(rows) != size:
                raise ConfigError(f"'{name}' has {len(rows)} rows for {size} samples; choose another one with --blob")
        return made

    def judge(self, name: str) -> Line | None:
        """The loss or metric with a label that reads a blob, or reads what a last layer such as Softmax makes it from."""
        net = self.net
        at = next(number for number, line in enumerate(net.lines) if name in line.tops)
        near = {at, *(ref.line for ref in net.lines[at].refs if len(net.lines[at].refs) == 1)}
        judges = [line for line in net.lines if line.layer.kind != "layer" and len(line.refs) > 1 and line.refs[0].line in near]
        return min(judges, key=lambda line: (line.refs[0].line != at, line.layer.kind != "loss"), default=None)

    def words(self, name: str, count: int) -> list[str]:
        """What people call the classes of a blob."""
        judge = self.judge(name)
        said = self.memory.names.get((judge.refs[1].field if judge else None) or "", [])
        return said if len(said) == count else [str(number) for number in range(count)]

    def close(self) -> None:
        self.engine.close()


def fits(sizes: tuple[int, ...], shape: Shape) -> bool:
    return len(sizes) == len(shape) and all(want in (size, ANY_SIZE) for size, want in zip(sizes, shape, strict=True))


def opened_batches(deployed: Deployed, split: str | None) -> Iterator[tuple[list[str], Arrays]]:
    """The samples of an opened source, or of one of its splits, through the steps."""
    source: Source = deployed.source
    if split is not None and split not in source.splits:
        raise ConfigError(f"--split {split}: {source.type} has no such split; {did_you_mean(split, source.splits)}")
    rows = np.arange(len(source)) if split is None else np.asarray(source.splits[split])
    yield from ()
    empty(Shape(()), len(rows))
