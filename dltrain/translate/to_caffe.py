"""dltrain export caffe: a config, and its weights, as the files that Caffe 1.0 loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe.blobs import write_mean, write_weights
from dltrain.caffe.message import Message
from dltrain.caffe.prototxt import write_text
from dltrain.caffe.schema import MESSAGES
from dltrain.console import Console
from dltrain.data.npy import map_npy
from dltrain.errors import ConfigError
from dltrain.translate.to_caffe_data import Supply
from dltrain.translate.to_caffe_layers import Lacking, matrix_of
from dltrain.translate.to_caffe_net import Layers, Written
from dltrain.translate.to_caffe_solver import solver_of
from dltrain.translate.trained import Trained, trained
from dltrain.translate.write import put_all, text_of


@dataclass
class Files:
    """What is to be written, by name: texts, arrays as .binaryproto, weights with the net that they are of."""

    texts: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, list[Any]] = field(default_factory=dict)
    net: Message | None = None
    notes: list[str] = field(default_factory=list)


def export(
    path: str, out: str, weights: str | None, settings: tuple[str, ...], deploy: bool, force: bool, console: Console
) -> None:
    """dltrain export caffe RUN|CONFIG -o DIR"""
    made = trained(path, weights, settings, console, need=False)
    try:
        files = Files()
        told(made, files, deploy)
        names = save(made, files, Path(out), force)
        tell(made, files, out, names, console)
    finally:
        made.close()


def told(made: Trained, files: Files, deploy_only: bool) -> None:
    """Everything, or ConfigError with all that Caffe cannot say."""
    config, name = made.config, made.config.name
    layers = Layers(config, made.engine if made.file is not None else None, files.notes)
    supply = Supply(made, name, files.notes)
    wrong: list[str] = []
    written: list[tuple[str, Written]] = []
    trains = not deploy_only and any(line.weight for line in config.net.lines)
    if trains:
        written.append((f"{name}_train_test.prototxt", layers.training(supply.layers())))
        if config.solver is not None:
            wrong += solve(made, files)
    written.append(("deploy.prototxt", layers.deploy(1 if trains or deploy_only else config.feed.batch_size("train"))))
    wrong = [*layers.wrong.values(), *wrong]
    if wrong:
        way = "" if not trains else "; --deploy leaves out what only training needs"
        raise ConfigError(f"{config.document.file}: Caffe cannot say all of this: {'; '.join(wrong)}{way}")
    for file, net in written:
        message = Message("NetParameter").put("name", name).add("layer", *map(in_order, net.layers))
        files.texts[file] = write_text(message)
        files.net = files.net or message
        files.weights = net.weights | files.weights
    files.arrays, files.texts = supply.arrays | matrices(made), files.texts | supply.texts


def in_order(message: Message) -> Message:
    """The fields as the schema has them, and as people write them."""
    told = MESSAGES[message.kind]
    fields = {key: message.fields[key] for key in told if key in message.fields}
    return Message(message.kind, {key: [in_order(each) if isinstance(each, Message) else each for each in values]
                                  for key, values in fields.items()})  # fmt: skip


def solve(made: Trained, files: Files) -> list[str]:
    """solver.prototxt; what stands in the way of it."""
    config, feed = made.config, made.config.feed
    per_epoch = feed.per_epoch / config.solver.iter_size if made.at_hand and config.solver is not None else None
    watched = config.watched
    tests = ceil(len(feed.splits[watched]) / feed.batch_size(watched)) if made.at_hand and watched in feed.splits else None
    try:
        solver = solver_of(config, f"{config.name}_train_test.prototxt", per_epoch, tests, files.notes)
    except Lacking as reason:
        return [f"solver ({getattr(config.solver, 'type', '')}): {reason}"]
    files.texts["solver.prototxt"] = write_text(in_order(solver))
    return []


def matrices(made: Trained) -> dict[str, Any]:
    """The matrices of InfogainLoss."""
    sources = [line.layer.source for line in made.config.net.lines  # type: ignore[attr-defined]
               if line.layer.type == "InfogainLoss" and line.layer.source is not None]  # type: ignore[attr-defined]  # fmt: skip
    return {matrix_of(source): np.asarray(map_npy(Path(source)), np.float32) for source in sources}


def save(made: Trained, files: Files, folder: Path, force: bool) -> list[str]:
    """Writes all; returns the names of the files.  Weights come in both of Caffe's forms."""
    name = made.config.name
    binary = [f"{name}.caffemodel"] if files.weights else []
    if any("/" in layer["name"] for layer in (files.net.all("layer") if files.net is not None else [])) and binary:
        files.notes.append(f"there is no {name}.caffemodel.h5: Caffe finds no layer in HDF5 that has a / in its name")
    elif binary:
        binary.append(f"{name}.caffemodel.h5")
    names = [*files.texts, *files.arrays, *binary]
    taken = next((folder / each for each in names if (folder / each).exists()), None)
    if taken is not None and not force:
        raise ConfigError(f"{taken}: is there already; choose another folder with -o DIR, or overwrite it with --force")
    net, weights = as_trained(files.net), list(files.weights.items())
    writers: dict[str, Callable[[Path], object]] = {each: text_of(text) for each, text in files.texts.items()}
    writers |= {each: partial(put_mean, array) for each, array in files.arrays.items()}
    put_all(folder, writers | {each: partial(put_weights, weights, net) for each in binary})
    return names


def put_mean(array: Any, path: Path) -> None:
    write_mean(path, array)


def put_weights(weights: list[tuple[str, Any]], net: Message, path: Path) -> None:
    write_weights(path, weights, net)


def as_trained(net: Message | None) -> Message:
    """The net as a .caffemodel has it: the layers of one phase, without their rules."""
    made = Message("NetParameter", dict((net or Message("NetParameter")).fields))
    found: dict[str, Message] = {}
    for layer in made.all("layer"):
        rules = {key: value for key, value in layer.fields.items() if key != "include"}
        found.setdefault(layer["name"], Message("LayerParameter", rules))
    made.fields["layer"] = list(found.values())
    return made


def tell(made: Trained, files: Files, out: str, names: list[str], console: Console) -> None:
    count = sum(int(np.size(array)) for arrays in files.weights.values() for array in arrays)
    if made.file is None:
        files.notes.append("no weights: they were neither given nor named; --weights FILE adds them")
    notes = list(dict.fromkeys(files.notes))
    result = {"folder": out, "files": names, "layers": len(made.config.net.lines), "numbers": count, "notes": notes,
              "weights": None if made.file is None else str(made.file)}  # fmt: skip
    lines = [f"{out}: {', '.join(names)}", *(f"note: {note}" for note in notes)]
    console.result(result, "\n".join(lines))
