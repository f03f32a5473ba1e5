"""A trained net as it is used: its deploy graph behind the training's own steps, without the training's data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dltrain import catalogue, saving  # noqa: F401  the catalogue fills the registries
from dltrain import config as configs
from dltrain.apply import fill, recalled, weights_of
from dltrain.config import Config
from dltrain.data.image import read_image
from dltrain.data.npy import map_npy
from dltrain.errors import ConfigError, DataError, Refusal, SnapshotError, did_you_mean
from dltrain.launch import engine_of
from dltrain.marks import Document, load
from dltrain.reader import Reader
from dltrain.recall import Memory, recall
from dltrain.run import Run
from dltrain.sketch import fields_of
from dltrain.source import ANY_SIZE, Arrays, Shape, Source, empty
from dltrain.supply import Promise

KEPT = ("version", "name", "seed", "vars", "data", "net", "blocks", "engine")  # sections that a trained net still needs
KEPT_OF_DATA = ("source", "batch_size", "transform")


class Deployed:
    """The net of a run (or of a config with weights) and the steps before it.

    Without `other` the samples are files: the config's source is then not opened, for the run remembers what there is to know
    of it (a run that does not has its data opened).  With `other`, the text of a source, that one is opened instead.
    """

    def __init__(self, path: str, weights: str | None, settings: tuple[str, ...], device: str | None, other: str | None) -> None:
        run = Run.find(Path(path))
        taken = run.weights() if run is not None and weights is None else None
        computed = saving.transforms(taken[1]) if taken else recalled(weights) or {}
        memory = recall(run.folder) if run else None
        document = load(run.config if run else path)
        said = settings if other is None else (*settings, f"data.source={other}")
        self.splits: dict[str, Any] = {}
        self.opened = memory is None or other is not None
        if memory is not None:
            reduce(document)
        promise = None if memory is None else self.remembered(memory) if other is None else self.completed(memory)
        try:
            config = configs.read(run.config if run else path, said, False, computed, document, promise)
        except DataError as error:
            if run is not None or other is not None:
                raise
            config, promise = self.without_data(path, settings, computed, error), fields_of
        self.feed, self.net = config.feed, config.net
        files = weights_of(path, config, weights) if taken is None else ()
        self.file = taken[0] if taken else Path(files[-1])
        lacking = set(self.feed.state()) - set(computed) if promise is not None else set()
        if lacking:
            raise SnapshotError(f"{self.file}: does not hold what data.transform.{min(lacking)} computes over the training "
                                "samples; leave that step as it was, or give it numbers")  # fmt: skip
        self.source = self.feed.source
        self.splits = self.splits or getattr(self.source, "splits", {})
        self.memory = memory or Memory(self.source.fields, getattr(self.source, "classes", {}), getattr(self.source, "names", {}))
        self.first = next(iter(self.memory.fields))
        self.engine = engine_of(config, device, with_solver=False)
        if taken is not None:
            saving.load(*taken, self.engine, weights_only=True)
        else:
            fill(self.engine, files)

    def without_data(self, path: str, settings: tuple[str, ...], computed: Any, error: DataError) -> Config:
        """A config whose data are not here, by what its source promises of them; the error where that is nothing."""
        self.opened = False

        def promise(source: Source) -> dict[str, Shape]:
            source.fields = fields_of(source)
            return source.fields

        try:
            return configs.read(path, settings, False, computed, promise=promise)
        except DataError:
            raise error from None

    def remembered(self, memory: Memory) -> Promise:
        """A source that is not opened is told what the run remembers of it."""

        def promise(source: Source) -> dict[str, Shape]:
            source.fields, source.classes, source.names = dict(memory.fields), memory.classes, memory.names
            return source.fields

        return promise

    def completed(self, memory: Memory) -> Promise:
        """Another source is opened; it may lack the labels."""

        def promise(source: Source) -> dict[str, Shape]:
            source.open()
            first, own = next(iter(memory.fields)), source.fields
            if first not in own:
                has = ", ".join(own)
                raise DataError(f"{source.type}: has no field '{first}', which the net was trained on; it has {has}")
            self.splits, source.classes, source.names = source.splits, memory.classes, memory.names
            return {name: own.get(name, x) for name, x in memory.fields.items()} | own

        return promise

    def reads(self, upto: tuple[str, ...]) -> tuple[str, ...]:
        """The fields that the deploy graph reads; no other goes through the steps."""
        fields = tuple(self.net.graph("deploy", (1,), "deploy", upto).inputs)
        chain = self.feed.plain_chain
        chain.links = [link for link in chain.links if link.top in fields]
        return fields

    def load(self, path: Path) -> Arrays:
        """A file of the user's as a batch of one, ready for the net."""
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        shape = self.memory.fields[self.first]
        made = self.decoded(path, shape)
        sizes = np.shape(made)
        if len(sizes) != len(shape) or any(want not in (size, ANY_SIZE) for size, want in zip(sizes, shape, strict=True)):
            wanted = str(shape).replace(str(ANY_SIZE), "any")
            raise DataError(f"{path}: is {Shape(sizes)}, but the net was trained on samples of {wanted}; bring it to that size")
        rows: Any = [made] if ANY_SIZE in shape else empty(shape, 1)
        rows[0] = made
        try:
            return self.feed.plain_chain.run({self.first: rows}, self.feed.seed, np.zeros(1, int))
        except Refusal as refusal:
            raise DataError(f"{path}: {refusal}") from None

    def decoded(self, path: Path, shape: Shape) -> Any:
        """As the source decodes its files; .npy as it is; a picture for a source of pictures that are no files."""
        if path.suffix == ".npy":
            return np.asarray(map_npy(path))
        if type(self.source).load is Source.load and len(shape) == 3 and shape[0] in (1, 3):
            return read_image(path, "grey" if shape[0] == 1 else "rgb")
        try:
            return self.source.load(path)[self.first]
        except AttributeError:  # a vocabulary, say, that only opening finds
            if self.opened:
                raise
            self.opened = True
            self.source.open()
            return self.source.load(path)[self.first]

    def batches(self, fields: tuple[str, ...], split: str | None) -> Iterator[tuple[list[str], Arrays, dict[str, str]]]:
        """What the samples of the opened source are called, their batch, and why others could not be read."""
        source, size = self.source, self.feed.batch_size("train")
        if split is not None and split not in self.splits:
            raise ConfigError(f"--split {split}: {source.type} has no such split; {did_you_mean(split, self.splits)}")
        rows = np.arange(len(source)) if split is None else np.asarray(self.splits[split])
        reader = Reader(source, skip=True)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            batch, read = reader.read(some, fields)
            missing = {source.identify(int(row)): reader.skipped[int(row)] for row in some if int(row) in reader.skipped}
            made = self.feed.plain_chain.run(batch, self.feed.seed, read)
            yield [source.identify(int(row)) for row in read], made, missing

    def close(self) -> None:
        self.feed.close()
        self.engine.close()


def reduce(document: Document) -> None:
    """Leaves out of a run's config what only training needs; of the solver stays what is said of parameters."""
    value = document.value
    solver = value.get("solver") or {}
    document.value = {key: value[key] for key in KEPT if key in value}
    document.value["data"] = {key: value["data"][key] for key in KEPT_OF_DATA if key in value["data"]}
    if solver.get("param"):
        document.value["solver"] = {"type": "SGD", "base_lr": 0.1, "max_iter": 1, "test": None, "param": solver["param"]}
