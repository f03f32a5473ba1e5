"""Which file of Caffe's is which, and where the files are that they name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from dltrain.errors import ConfigError, DataError, SnapshotError

SOLVER_WORDS = {
    "net", "net_param", "train_net", "train_net_param", "test_net", "base_lr", "lr_policy", "max_iter", "test_iter",
    "test_interval", "solver_mode", "solver_type", "snapshot_prefix", "momentum", "weight_decay", "display", "stepsize",
}  # fmt: skip
NET_WORDS = {"layer", "layers", "input", "input_dim", "input_shape", "force_backward", "state"}
WORD = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*|[{}<>]|[A-Za-z_]\w*')
LOOKED_AT = 1 << 20  # characters of a text that tell what it is


@dataclass
class Given:
    """The files of one import, by what they are."""

    nets: list[Path] = field(default_factory=list)
    solver: Path | None = None
    weights: list[Path] = field(default_factory=list)
    mean: Path | None = None
    state: Path | None = None


def sorted_out(files: tuple[str, ...]) -> Given:
    """The files told apart by their endings and by what is in them."""
    given = Given()
    for name in files:
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file")
        kind = told(path)
        if kind == "net":
            given.nets.append(path)
        elif kind == "weights":
            given.weights.append(path)
        elif getattr(given, kind) is not None:
            raise ConfigError(f"{path}: is a second {kind}, after {getattr(given, kind)}; give one")
        else:
            setattr(given, kind, path)
    return given


def told(path: Path) -> str:
    """net, solver, weights, mean or state."""
    if path.suffix in (".caffemodel", ".binaryproto", ".solverstate"):
        return {".caffemodel": "weights", ".binaryproto": "mean", ".solverstate": "state"}[path.suffix]
    with open(path, "rb") as file:
        start = file.read(LOOKED_AT)
    if start.startswith(b"\x89HDF"):
        return "state" if path.name.endswith(".solverstate.h5") or holds(path, "history") else "weights"
    if path.suffix == ".npy":
        return "mean"
    if b"\0" in start:
        raise DataError(f"{path}: is neither a prototxt nor a file of Caffe by its ending: "
                        ".caffemodel, .caffemodel.h5, .binaryproto, .solverstate")  # fmt: skip
    words = top_words(start.decode("utf-8", "replace"))
    if words & SOLVER_WORDS and not words & NET_WORDS:
        return "solver"
    if words & NET_WORDS:
        return "net"
    raise DataError(f"{path}: is neither a net (layer {{ … }}) nor a solver (base_lr: …) of Caffe")


def holds(path: Path, group: str) -> bool:
    """Whether an HDF5 file has a group of that name at its top."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return group in file
    except (OSError, RuntimeError):
        raise SnapshotError(f"{path}: is damaged, or no HDF5 file") from None


def top_words(text: str) -> set[str]:
    """The names of fields at the top level of a prototxt."""
    depth, found = 0, set()
    for match in WORD.finditer(text):
        word = match[0]
        if word in "{<":
            depth += 1
        elif word in "}>":
            depth -= 1
        elif depth == 0 and word[0] not in "\"'#":
            found.add(word)
    return found


class Places:
    """Where files that a prototxt names are: Caffe reads them from the folder it is started in, which nobody knows any more."""

    def __init__(self, files: list[Path]) -> None:
        self.folders = list(dict.fromkeys(file.resolve().parent for file in files))

    def find(self, name: str, by_name: bool = False) -> Path | None:
        """The file beside what names it; one with folders in its name, below any folder that what names it lies in.

        `by_name`: also beside it without its folders.
        """
        if not name or "\0" in name:
            return None
        path = Path(name)
        above = [up for folder in self.folders for up in folder.parents] if len(path.parts) > 1 else []
        tried = [path] if path.is_absolute() else [folder / path for folder in (*self.folders, Path.cwd(), *above)]
        tried += [folder / path.name for folder in self.folders] if by_name and path.name else []
        for one in tried:
            try:
                if one.exists():
                    return Path(os.path.abspath(one))
            except OSError:  # a name that is too long, a folder that may not be read
                continue
        return None
