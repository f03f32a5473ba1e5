"""A draft written down: NAME.yaml and weights.h5 in a folder, read back, built, and held against each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain import config as configs
from dltrain import snapshot
from dltrain.config import Config
from dltrain.console import Console
from dltrain.errors import ConfigError, DataError
from dltrain.graph import Builder, Demand
from dltrain.marks import parse
from dltrain.net import Net
from dltrain.sketch import fields_of
from dltrain.source import Source
from dltrain.tensor import Shape
from dltrain.translate.draft import Draft
from dltrain.translate.names import readable
from dltrain.translate.yaml_text import yaml_text
from dltrain.weights import layer_of

WEIGHTS = "weights.h5"
MANY = 8  # things of a kind that a message names


@dataclass
class Fit:
    """What came of holding weights against the net."""

    arrays: dict[str, Any] = field(default_factory=dict)  # as the net wants them
    fresh: list[str] = field(default_factory=list)  # layers with parameters that have none here
    unused: list[str] = field(default_factory=list)  # layers of which the net wants nothing


def write(
    draft: Draft, folder: Path, force: bool, console: Console, fields: dict[str, Shape] | None = None, head: str = ""
) -> dict[str, Any]:
    """Writes the draft; returns, and prints, what there is to know of it.

    `fields` are the shapes of the source where its data need not be there to tell; `head` are comment lines for the config's top.
    """
    draft.name = readable(draft.name, "net")
    path, file = folder / f"{draft.name}.yaml", folder / WEIGHTS
    for taken in (path, file) if not force else ():
        if taken.exists():
            raise ConfigError(f"{taken}: is there already; choose another folder with -o DIR, or overwrite it with --force")
    if draft.weights:
        draft.rest["weights"] = WEIGHTS
    text = yaml_text(draft, head)
    try:
        config = built(text, path, draft, fields)
    except DataError as error:
        draft.notes.append(f"not built, and the weights not held against it: {error}")
        config, text = None, yaml_text(draft, head)
    fit = Fit(draft.weights) if config is None else fitted(config, draft.weights)
    if draft.weights and fit.fresh:
        draft.rest["weights"] = {"file": WEIGHTS, "fresh": fit.fresh}
        draft.notes.append(f"no weights for {some(fit.fresh)}: learnt anew")
        text = yaml_text(draft, head)
    draft.notes += [f"weights for {some(fit.unused)} left out: nothing in the net takes them"] if fit.unused else []
    put_all(folder, ({WEIGHTS: weights_of(fit.arrays)} if draft.weights else {}) | {path.name: text_of(text)})
    made = report(draft, config, path, file)
    console.result(made, told(made))
    return made


def built(text: str, path: Path, draft: Draft, fields: dict[str, Shape] | None) -> Config:
    """The config read back from its text, with every layer set up."""

    def promise(source: Source) -> dict[str, Shape]:
        return fields_of(source) if fields is None else fields

    return configs.read(path, need_solver=bool(draft.solver), document=parse(text, str(path)), promise=promise)


def fitted(config: Config, given: dict[str, Any]) -> Fit:
    """The weights in the shapes of the net; DataError names all that cannot be.  A state nobody tells is at its beginning."""
    store = config.net.store
    places = snapshot.paths(store)
    wanted = {f"data/{places[f'{part.layer}/{part.role}']}": tuple(part.shape) for part in store.segments.values()}
    states = {f"states/{name.replace('/', '%2F')}": state for name, state in store.states.items()}
    wanted |= {name: tuple(state.handle.shape) for name, state in states.items()}
    wrong = [
        f"{layer_of(name)} ({name}) is {Shape(np.shape(array))}, the net has {Shape(wanted[name])}"
        for name, array in given.items()
        if name in wanted and prod(np.shape(array)) != prod(wanted[name])
    ]
    if wrong:
        raise DataError(f"weights: {some(wrong, '; ')}; the file and the net are not of one kind")
    fit = Fit({name: np.asarray(given[name], np.float32).reshape(shape) for name, shape in wanted.items() if name in given})
    fit.fresh = list(dict.fromkeys(layer_of(name) for name in wanted if name not in given and name.startswith("data/")))
    fit.unused = list(dict.fromkeys(layer_of(name) for name in given if name not in wanted))
    fit.arrays |= {name: np.full(state.handle.shape, state.init, np.float32)
                   for name, state in states.items() if name not in given}  # fmt: skip
    return fit


def some(words: list[str], between: str = ", ") -> str:
    """The first of many, and how many more."""
    more = f" and {len(words) - MANY} more" if len(words) > MANY else ""
    return between.join(words[:MANY]) + more


def put_all(folder: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Writes files under temporary names, then all under their own: what fails or is stopped leaves those that were there."""
    waiting = {folder / f".{os.getpid()}.{name}": folder / name for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (temporary, path), put in zip(waiting.items(), files.values()):
            try:
                put(temporary)
            except DataError as error:
                raise DataError(str(error).replace(str(temporary), str(path))) from None
        for temporary, path in waiting.items():
            os.replace(temporary, path)
    except OSError as error:
        words = f"cannot be written ({error.strerror or error}); make room, or choose another folder with -o DIR"
        raise DataError(f"{folder}: {words}") from None
    finally:
        for temporary in waiting:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def text_of(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def weights_of(arrays: dict[str, Any]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(snapshot.image(snapshot.Snapshot(arrays)))


# --- the report ---
def report(draft: Draft, config: Config | None, path: Path, file: Path) -> dict[str, Any]:
    """For machines; the shapes are those of one sample."""
    made: dict[str, Any] = {
        "config": str(path), "weights": str(file) if draft.weights else None, "layers": len(draft.net),
        "built": config is not None, "notes": list(draft.notes),
    }  # fmt: skip
    if config is None:
        return made
    net = config.net
    shapes = net.shapes.get("deploy", {})
    return made | {
        "parameters": net.store.parameters,
        "inputs": {name: list(shapes[name][1:]) for name in inputs(net)},
        "outputs": {name: list(shapes[name][1:]) for name in outputs(net)},
    }


def inputs(net: Net) -> list[str]:
    """The fields that the deploy graph reads."""
    lines = [line for line in net.lines if "deploy" in line.phases]
    return list(dict.fromkeys(ref.field for line in lines for ref in line.refs if ref.field is not None))


def outputs(net: Net) -> list[str]:
    """The blobs that the deploy graph makes and nobody reads."""
    builder = Builder(net.lines, net.order, net.fields, net.store, Demand("deploy", (1,), "deploy"), net.seed)
    goals = builder.goals([number for number in net.order if "deploy" in net.lines[number].phases])
    return [net.lines[number].tops[0] for number in goals if net.lines[number].tops]


def told(made: dict[str, Any]) -> str:
    """For people."""
    rows = [f"{made['config']}  {made['layers']} layers" + (f", {made['parameters']:,} parameters" if made["built"] else "")]
    if made["weights"]:
        rows.append(made["weights"])
    for word in ("inputs", "outputs"):
        rows += [f"{word[:-1]}  {name}  {Shape(sizes)}" for name, sizes in made.get(word, {}).items()]
    return "\n".join(rows + [f"note: {note}" for note in made["notes"]])
