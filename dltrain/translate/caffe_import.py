"""dltrain import caffe: files of Caffe's as a config of ours, with weights, and with a run to go on with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe.blobs import read_mean
from dltrain.caffe.message import Message
from dltrain.caffe.solverstate import read_state
from dltrain.console import Console
from dltrain.errors import ConfigError, DataError
from dltrain.registry import LAYERS
from dltrain.translate import caffe_state
from dltrain.translate.caffe_data import Supply
from dltrain.translate.caffe_files import Given, Places, sorted_out
from dltrain.translate.caffe_layers import Keys
from dltrain.translate.caffe_net import Lines, outputs, translate
from dltrain.translate.caffe_nets import Nets, nets_of, read_solver
from dltrain.translate.caffe_params import spread
from dltrain.translate.caffe_pieces import Assembly
from dltrain.translate.caffe_shapes import classes_of, fit_labels, places_of, side_of_pictures, sketched
from dltrain.translate.caffe_solver import rest_of, solver_of
from dltrain.translate.caffe_steps import Side
from dltrain.translate.caffe_weights import load
from dltrain.translate.draft import Draft, Part
from dltrain.translate.names import readable
from dltrain.translate.write import WEIGHTS, write

GUESSES = {"mnist": (1, 28, 28), "cifar": (3, 32, 32)}  # by the name of the data
USUAL = 256  # the side that pictures had in Caffe's examples


@dataclass
class Wish:
    """What a user asks for besides the files."""

    stages: tuple[str, ...] = ()
    level: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    force: bool = False


def import_caffe(files: tuple[str, ...], folder: Path, wish: Wish, console: Console) -> dict[str, Any]:
    """Reads, translates, writes; returns the report."""
    given = sorted_out(files)
    solver = read_solver(given.solver) if given.solver is not None else None
    nets = nets_of(given, solver)
    draft, lines, side = translated(given, nets, wish)
    taken = sides(draft, side, folder, wish.force)
    try:
        made = write(draft, folder, wish.force, console, head=head(files))
    except Exception:
        for path in taken:
            path.unlink(missing_ok=True)
        raise
    if given.state is not None:
        if not draft.solver or not draft.weights:
            raise ConfigError(f"{given.state}: goes with a solver and with weights; give both prototxt and the .caffemodel")
        run = caffe_state.save(Path(made["config"]), folder / WEIGHTS, read_state(given.state), lines, given.state, wish.force)
        console.note(f"to go on where Caffe stopped: dltrain train --resume {run}")
        made["run"] = str(run)
    return made


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
            raise ConfigError(f"{path}: cannot be written ({error.strerror or error}); choose another folder with -o DIR") from None
        made.append(path)
    return made


# --- the draft ---
def translated(given: Given, nets: Nets, wish: Wish) -> tuple[Draft, Lines, Side]:
    """The whole config, not yet written."""
    draft = Draft(readable(str(nets.first.net["name"] or nets.first.path.stem), "net"))
    notes = draft.notes
    assembly = Assembly(nets.sights(wish.level, wish.stages), notes)
    files = [*given.nets, *([given.solver] if given.solver is not None else [])]
    side = Side(Places(files or [nets.first.path]), read_mean_file(given.mean))
    supply = Supply(assembly, side, notes)
    supply.shapes |= {name: wish.shapes[name] for name in wish.shapes if name in supply.shapes}
    ends = assembly.wire(supply.names)
    lines = translate(assembly, [*supply.shapes], nets.deploy is not None and nets.train is not None, notes)
    draft.net = [*(Part(name, "Input", {"shape": sizes}) for name, sizes in supply.fixed.items()), *lines.parts]
    for phase, theirs, ours in outputs(lines, ends):
        notes.append(f"the output '{theirs}' ({phase}) is the blob {ours} here")
    matrices(draft, side, notes)
    whole_batches(draft, set(supply.batch.values()))
    trained = any(LAYERS[part.type].kind == "loss" for part in draft.net)
    solve(draft, given, nets, trained and "test" in assembly.sources and bool(assembly.sources["test"]), notes)
    parameters(draft, lines, trained)
    draft.weights = load(lines, weights_of(given, nets.solver, side, notes), notes)
    settle(draft, supply, wish, nets, notes)
    return draft, lines, side


def read_mean_file(path: Path | None) -> Any:
    if path is None:
        return None
    if path.suffix == ".npy":
        from dltrain.data.npy import map_npy

        return np.asarray(map_npy(path), np.float32)
    return read_mean(path)


def solve(draft: Draft, given: Given, nets: Nets, tested: bool, notes: list[str]) -> None:
    """The solver section, and what of it stands at the top level."""
    if nets.solver is None:
        return
    if not any(LAYERS[part.type].kind == "loss" or part.keys.get("loss_weight") for part in draft.net):
        notes.append(f"{given.solver}: the net has no loss, so its solver is left out")
        return
    draft.solver = solver_of(nets.solver, str(given.solver), tested, notes)
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


OF_LINE = ("phase", "loss_weight", "propagate_down")


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


def whole_batches(draft: Draft, sizes: set[int]) -> None:
    """A Reshape to the very batch size keeps the batch as it comes."""
    for part in draft.net:
        if part.type == "Reshape" and part.keys.get("axis", 0) == 0 and part.keys["shape"] and part.keys["shape"][0] in sizes:
            part.keys["shape"] = [0, *part.keys["shape"][1:]]


def weights_of(given: Given, solver: Message | None, side: Side, notes: list[str]) -> list[Path]:
    """The files of weights that were given, else those that the solver names, as far as they are here."""
    if given.weights or solver is None:
        return given.weights
    names = [name.strip() for each in solver.all("weights") for name in str(each).split(",")]
    found = [(name, side.places.find(name, by_name=True)) for name in names]
    notes += [f"{given.solver}: its weights {name} are not here" for name, path in found if path is None]
    return [path for _, path in found if path is not None]


# --- what only shapes tell ---
def settle(draft: Draft, supply: Supply, wish: Wish, nets: Nets, notes: list[str]) -> None:
    """The data section; sizes of pictures that are not here; labels that fit."""
    classes = classes_of(draft, supply.fields)
    guess(draft, supply, wish, classes, notes)
    deploy = nets.deploy is not None and nets.train is not None
    for _ in range(2):  # once more with the shapes of labels that the first time has told
        net = sketched(draft)
        shapes = {**net.shapes.get("deploy", {}), **net.shapes.get("test", {}), **net.shapes.get("train", {})} if net else {}
        blank = draft.data["source"]
        for name in classes if blank["type"] == "blank" else ():
            known = supply.shapes.get(name)
            wanted = places_of(draft, name, shapes)
            if wanted is not None and name not in wish.shapes and (known is None or np.prod(known) == np.prod(wanted) or known == ()):
                blank["shapes"][name] = list(wanted)
    if net is not None:
        fit_labels(draft, shapes, deploy, notes)


def guess(draft: Draft, supply: Supply, wish: Wish, classes: dict[str, int], notes: list[str]) -> None:
    """The data section, with a size for pictures that are not here and of which nobody tells."""
    first = next(iter(supply.fields), None)
    if first is None:
        raise DataError("the net reads no data: it has neither a data layer nor an input")
    unknown = supply.shapes[first] is None
    main = supply.main("train") or supply.main("test") or supply.main("deploy")
    if unknown and main is not None and main["type"] in ("Data", "ImageData", "Python", "WindowData", "AnnotatedData"):
        name = next((key for key in GUESSES if key in f"{supply.main_path().lower()} {draft.name.lower()}"), "")
        mean = supply.side.arrays.get("mean.npy")
        supply.shapes[first] = GUESSES.get(name) or (supply.channels(main), USUAL, USUAL)
        if supply.side.mean is not None:
            supply.shapes[first] = tuple(np.shape(supply.side.mean)[-3:])
        draft.data = supply.section(classes)
        mean = supply.side.arrays.get("mean.npy")
        if draft.data["source"]["type"] != "blank":
            return
        if mean is not None:
            draft.data["source"]["shapes"][first] = list(mean.shape)
            return
        channels = channels_of(draft, first) or supply.shapes[first][0]
        side = side_of_pictures(draft, first, channels, draft.weights) if draft.weights else None
        shape = [channels, side, side] if side else [channels, *supply.shapes[first][1:]]
        draft.data["source"]["shapes"][first] = shape
        words = "the weights fit it" if side else "nothing tells; --shape NAME=C,H,W does"
        notes.append(f"{first} is taken to be {' x '.join(map(str, shape))} ({words})")
        return
    draft.data = supply.section(classes)


def channels_of(draft: Draft, field: str) -> int | None:
    """How many channels the first convolution reads, by its weights."""
    for part in draft.net:
        weight = draft.weights.get(f"data/{part.name.replace('/', '%2F')}/0")
        if part.type == "Convolution" and part.bottoms[:1] == [field] and weight is not None:
            return int(weight.shape[1]) * int(part.keys.get("group", 1))
    return None
