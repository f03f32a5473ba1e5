"""A run that Caffe began as a run of ours: weights, the memory of its solver and its iteration, to go on with --resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dltrain import config as configs
from dltrain import snapshot
from dltrain.caffe.solverstate import State
from dltrain.errors import ConfigError, DataError
from dltrain.progress import Progress
from dltrain.run import Run
from dltrain.sketch import fields_of
from dltrain.translate.caffe_net import Lines
from dltrain.translate.caffe_weights import slots

FOLDER = "run"


def save(config_path: Path, weights: Path, state: State, lines: Lines, source: Path, force: bool) -> Path:
    """DIR/run, a folder that dltrain train --resume takes; its one snapshot is that of the state's iteration."""
    config = configs.read(config_path, promise=fields_of)
    solver = config.solver
    assert solver is not None
    arrays = dict(snapshot.read(weights).arrays)
    fresh = [name for name in wanted(config) if name not in arrays]
    if fresh:
        raise DataError(f"{source}: to go on all weights are needed; there are none for {', '.join(fresh[:6])}: give the "
                        ".caffemodel of the same iteration")  # fmt: skip
    for place, array in slots(lines, state.history, solver.slots, source).items():
        model = arrays["data/" + place.split("/", 2)[2]]
        if model.size != np.size(array):
            raise DataError(f"{source}: {place} has {np.size(array):,} numbers, its weight {model.size:,}: it is of another net")
        arrays[place] = np.asarray(array, np.float32).reshape(model.shape)
    progress = Progress(iteration=state.iter, forwards=state.iter * solver.iter_size)
    folder = config_path.parent / FOLDER
    if (folder / "config.yaml").exists() and not force:
        raise ConfigError(f"{folder}: is there already; choose another folder with -o DIR, or overwrite it with --force")
    return write(folder, config.values, arrays, progress)


def wanted(config: Any) -> list[str]:
    names = snapshot.paths(config.net.store)
    return [f"data/{names[f'{part.layer}/{part.role}']}" for part in config.net.store.segments.values()]


def write(folder: Path, values: dict[str, Any], arrays: dict[str, Any], progress: Progress) -> Path:
    """The files of a run that has just been stopped."""
    try:
        (folder / "snapshots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror or error}); choose another folder with -o DIR") from None
    run = Run(folder)
    for old in run.snapshots():
        old.unlink()
    run.write_config({key: value for key, value in values.items() if key != "weights"})
    made = {"progress": progress.record(), "config": values, "environment": {}}
    snapshot.write(run.at(progress.iteration), snapshot.Snapshot(arrays, made))
    return folder
