"""Files of Caffe's, read, as a draft of a config: the net, its parameters, the solver, weights, data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe.blobs import read_mean
from dltrain.caffe.message import Message
from dltrain.registry import LAYERS
from dltrain.translate.caffe_data import Supply
from dltrain.translate.caffe_files import Given, Places
from dltrain.translate.caffe_guess import settle
from dltrain.translate.caffe_layers import Keys
from dltrain.translate.caffe_net import Lines, outputs, translate
from dltrain.translate.caffe_nets import Nets, nowhere
from dltrain.translate.caffe_params import spread
from dltrain.translate.caffe_pieces import Assembly
from dltrain.translate.caffe_solver import rest_of, solver_of
from dltrain.translate.caffe_steps import Side
from dltrain.translate.caffe_weights import load
from dltrain.translate.draft import Draft, Part
from dltrain.translate.names import readable

OF_LINE = ("phase", "loss_weight", "propagate_down")  # what a line says for itself where it shares all else


@dataclass
class Wish:
    """What a user asks for besides the files."""

    stages: tuple[str, ...] = ()
    level: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    force: bool = False


def translated(given: Given, nets: Nets, wish: Wish) -> tuple[Draft, Lines, Side]:
    """The whole config, not yet written."""
    draft = Draft(readable(str(nets.first.net["name"] or nets.first.path.stem), "net"))
    notes = draft.notes
    sights = nets.sights(wish.level, wish.stages, notes)
    notes += nowhere(nets, sights)
    assembly = Assembly(sights, notes)
    files = [*given.nets, *([given.solver] if given.solver is not None else [])]
    side = Side(Places(files or [nets.first.path]), read_mean_file(given.mean), bool(given.weights))
    supply = Supply(assembly, side, notes)
    supply.shapes |= {name: wish.shapes[name] for name in wish.shapes if name in supply.shapes}
    ends = assembly.wire(supply.names)
    lines = translate(assembly, [*supply.shapes], any(one.phase == "deploy" for one in sights), notes)
    draft.net = [*(Part(name, "Input", {"shape": sizes}) for name, sizes in supply.fixed.items()), *lines.parts]
    for phase, theirs, ours in outputs(lines, ends):
        notes.append(f"the output '{theirs}' ({phase}) is the blob {ours} here")
    lines.name_blobs(ends)
    matrices(draft, side, notes)
    trained = supply.trained = any(LAYERS[part.type].kind == "loss" or part.keys.get("loss_weight") for part in draft.net)
    solve(draft, given, nets, trained, bool(assembly.sources.get("test")), notes)
    parameters(draft, lines, trained)
    draft.weights = load(lines, weights_of(given, nets.solver, side, notes), notes)
    settle(draft, supply, wish.shapes, lines, notes)
    tests(nets, supply, notes)
    draft.notes = list(dict.fromkeys(notes))
    return draft, lines, side


def tests(nets: Nets, supply: Supply, notes: list[str]) -> None:
    """How much Caffe tested on: nobody knows any more what of a set that is."""
    count, size = (nets.solver.all("test_iter") if nets.solver is not None else []), supply.batch.get("test")
    if count and size and supply.trained:
        notes.append(f"Caffe tests on test_iter x batch_size = {int(count[0]) * size:,} samples; here all of test is scored")


def read_mean_file(path: Path | None) -> Any:
    if path is None:
        return None
    if path.suffix == ".npy":
        from dltrain.data.npy import map_npy

        return np.asarray(map_npy(path), np.float32)
    return read_mean(path)


def solve(draft: Draft, given: Given, nets: Nets, trained: bool, tested: bool, notes: list[str]) -> None:
    """The solver section, and what of it stands at the top level."""
    if nets.solver is None or given.solver is None:
        return
    if not trained:
        notes.append(f"{given.solver.name}: the net has no loss, so its solver is left out")
        return
    draft.solver = solver_of(nets.solver, given.solver.name, tested, notes)
    draft.rest |= rest_of(nets.solver)


def parameters(draft: Draft, lines: Lines, trained: bool) -> None:
    """Fillers, rates and decay, on the lines and as patterns of the solver; a line that shares everything says so once."""
    decays = "weight_decay" in draft.solver or not draft.solver
    patterns, said = spread(lines.params, trained, decays, bool(draft.solver))
    if patterns:
        draft.solver["param"] = patterns
    parts = {part.name: part for part in draft.net}
    for name, roles in said.items():
        part = parts[name]
        owners = {str(keys.get("share", ".")).rpartition(".")[0] for keys in roles.values()}
        owner = parts.get(next(iter(owners))) if len(owners) == 1 else None
        count = sum(one.line == name for one in lines.params)
        if owner is not None and len(roles) == count and own(owner) == own(part) and owner.type == part.type:
            part.keys = {"share": owner.name} | {key: value for key, value in part.keys.items() if key in OF_LINE}
        else:
            part.keys["param"] = roles


def own(part: Part) -> Keys:
    return {key: value for key, value in part.keys.items() if key not in (*OF_LINE, "param")}


def matrices(draft: Draft, side: Side, notes: list[str]) -> None:
    """The matrices of InfogainLoss, as .npy beside the config."""
    for part in draft.net:
        name = part.keys.get("source") if part.type == "InfogainLoss" else None
        if name is None:
            continue
        found = side.places.find(str(name), by_name=True)
        if found is None:
            notes.append(f"{part.name} (InfogainLoss): its matrix {name} is not here; put it beside the config as .npy")
            part.keys["source"] = f"{Path(name).stem}.npy"
            continue
        matrix = np.asarray(read_mean(found), np.float32)
        part.keys["source"] = f"{readable(part.name)}_matrix.npy"
        side.arrays[part.keys["source"]] = matrix.reshape(matrix.shape[-2:])


def weights_of(given: Given, solver: Message | None, side: Side, notes: list[str]) -> list[Path]:
    """The files of weights that were given, else those that the solver names, as far as they are here."""
    if given.weights or solver is None or given.solver is None:
        return given.weights
    names = [name.strip() for each in solver.all("weights") for name in str(each).split(",")]
    found = [(name, side.places.find(name, by_name=True)) for name in names]
    notes += [f"{given.solver.name}: its weights {name} are not here" for name, path in found if path is None]
    return [path for _, path in found if path is not None]
