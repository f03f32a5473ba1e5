"""dltrain import caffe: files of Caffe's as a config of ours, with weights, and with a run to go on with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe.solverstate import State, read_state
from dltrain.console import Console
from dltrain.errors import ConfigError, DataError, DltrainError, Mistakes
from dltrain.translate import caffe_state
from dltrain.translate.caffe_draft import Wish, translated
from dltrain.translate.caffe_files import Given, Places, sorted_out
from dltrain.translate.caffe_net import Lines
from dltrain.translate.caffe_nets import nets_of, read_solver
from dltrain.translate.caffe_steps import Side
from dltrain.translate.draft import Draft
from dltrain.translate.write import WEIGHTS, write


def import_caffe(files: tuple[str, ...], folder: Path, wish: Wish, console: Console) -> dict[str, Any]:
    """Reads, translates, writes; returns the report."""
    given = sorted_out(files)
    solver = read_solver(given.solver) if given.solver is not None else None
    state = state_of(given)
    nets = nets_of(given, solver)
    draft, lines, side = translated(given, nets, wish)
    if state is not None and not draft.solver:
        raise ConfigError(f"{given.state}: the net has no loss, so there is nothing to go on with")
    taken = sides(draft, side, folder, wish.force)
    try:
        made = write(draft, folder, wish.force, console, head=head(files))
    except DltrainError as error:
        for path in taken:
            path.unlink(missing_ok=True)
        raise DataError(placed_in(str(error), lines)) if isinstance(error, Mistakes) else error from None
    if given.state is not None and state is not None:
        run = caffe_state.save(Path(made["config"]), folder / WEIGHTS, state, lines, given.state, wish.force)
        console.note(f"to go on where Caffe stopped: dltrain train --resume {run}")
        made["run"] = str(run)
    return made


def state_of(given: Given) -> State | None:
    """The state of a solver; its weights are those that it names, where none are given and they lie beside it."""
    if given.state is None:
        return None
    state = read_state(given.state)
    if not given.weights and (found := Places([given.state]).find(state.learned_net, by_name=True)) is not None:
        given.weights.append(found)
    if given.solver is None or not given.weights:
        lacks = "the solver's prototxt" if given.solver is None else f"its weights {state.learned_net or '.caffemodel'}"
        raise ConfigError(f"{given.state}: needs {lacks} as well; give it to the import")
    return state


def placed_in(words: str, lines: Lines) -> str:
    """What is wrong with a config that is not written, with the places in the prototxt."""
    made = []
    for row in words.splitlines():
        row = re.sub(r"^.*?\.yaml:\d+:\d+: ", "", row)
        name = re.match(r"layer '([^']+)'", row)
        piece = next((one for one in lines.assembly.pieces if name and one.name == name[1]), None)
        made.append(f"{piece.path}:{piece.layer.line}: {row}" if piece is not None else f"{lines.assembly.pieces[0].path}: {row}")
    if lines.untold:
        made.append(f"nothing tells the shape of {', '.join(lines.untold)}; --shape {lines.untold[0]}=C,H,W does")
    return "\n".join(["translated, but not to be built:", *made])


def head(files: tuple[str, ...]) -> str:
    return f"From Caffe: {', '.join(Path(file).name for file in files)}"


def sides(draft: Draft, side: Side, folder: Path, force: bool) -> list[Path]:
    """Writes the arrays that stand beside the config."""
    made = []
    for name, array in side.arrays.items():
        path = folder / name
        if path.exists() and not force:
            raise ConfigError(f"{path}: is there already; choose another folder with -o DIR, or overwrite it with --force")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be written ({error.strerror or error}); choose another folder with -o DIR"
            ) from None
        made.append(path)
    return made
