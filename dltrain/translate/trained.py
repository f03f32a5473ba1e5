"""A trained net that is to be written for others: with its data where they can be had, else with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dltrain import config as configs
from dltrain import saving
from dltrain.apply import recalled
from dltrain.config import Config
from dltrain.console import Console
from dltrain.devices import backend
from dltrain.engine import Engine
from dltrain.errors import ConfigError, DataError, SnapshotError
from dltrain.marks import load as load_text
from dltrain.recall import Memory, recall
from dltrain.run import Run
from dltrain.sketch import fields_of
from dltrain.source import Shape, Source
from dltrain.supply import Promise
from dltrain.weights import load


@dataclass
class Trained:
    """A config, an engine with the weights in it, and the file they are from (None: there are none, all are 0)."""

    config: Config
    engine: Engine
    file: Path | None
    at_hand: bool = True  # samples can be read
    names: dict[str, list[str]] = field(default_factory=dict)  # of classes
    unknown: set[str] = field(default_factory=set)  # numbers of steps that compute over data which are not there

    def close(self) -> None:
        self.config.feed.close()
        self.engine.close()


def trained(path: str, weights: str | None, settings: tuple[str, ...], console: Console, need: bool = True) -> Trained:
    """The net of a run with its best weights, or of a config with those it names; ConfigError where it has none and `need`."""
    run = Run.find(Path(path))
    taken = run.weights() if run is not None and weights is None else None
    saved = saving.transforms(taken[1]) if taken else recalled(weights)
    memory = recall(run.folder) if run is not None else None
    config, at_hand = opened(run.config if run else path, settings, saved, memory, console)
    files = (weights,) if weights is not None else config.weights.file if taken is None and config.weights is not None else ()
    if taken is None and not files and need:
        raise ConfigError(f"{path}: has no weights; give the folder of a run (runs/NAME), or --weights FILE")
    engine = Engine(config.net, backend("cpu", config.engine.threads, config.engine.precision))  # first values are of no use
    made = Trained(config, engine, taken[0] if taken else Path(files[-1]) if files else None, at_hand)
    source = config.feed.source
    made.names = memory.names if memory is not None else getattr(source, "names", {})
    made.unknown = set() if at_hand else set(config.feed.state()) - set(saved or ())
    if taken is not None:
        saving.load(*taken, engine, weights_only=True)
    elif files:
        try:
            load(engine, tuple(files))
        except ConfigError as error:
            raise SnapshotError(f"{files[-1]}: belongs to another net: {error}") from None
    return made


def opened(
    file: str | Path, settings: tuple[str, ...], saved: Any, memory: Memory | None, console: Console
) -> tuple[Config, bool]:
    """The config with its data; without, where they cannot be had, or where it has shapes alone."""
    if not is_blank(file):
        try:
            return configs.read(file, settings, need_solver=False, saved=saved), True
        except DataError as error:
            console.note(f"without the data, which cannot be had: {error}")
    keep = None if saved is None else {key: dict(value) for key, value in saved.items()}
    return configs.read(file, settings, need_solver=False, saved=keep, promise=promise_of(memory)), False


def is_blank(file: str | Path) -> bool:
    """True for a config whose source has shapes and no samples."""
    value = load_text(file).value
    data = value.get("data") if isinstance(value, dict) else None
    said = data.get("source") if isinstance(data, dict) else None
    return isinstance(said, dict) and said.get("type") == "blank"


def promise_of(memory: Memory | None) -> Promise:
    """What a run remembers of its source; else what the source's keys tell."""

    def remembered(source: Source) -> dict[str, Shape]:
        assert memory is not None
        source.fields, source.classes, source.names = dict(memory.fields), memory.classes, memory.names
        return source.fields

    return fields_of if memory is None else remembered
