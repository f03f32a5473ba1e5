"""Weights of another run, or of Caffe (.caffemodel.h5), put into a net by the names of its layers; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from dltrain import saving, snapshot
from dltrain.engine import Engine
from dltrain.errors import ConfigError, SnapshotError, did_you_mean


@dataclass
class Report:
    """Names of layers: filled from a file, beginning fresh, in a file and not in the net; linear here and convolution there."""

    loaded: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        words = [f"loaded {', '.join(self.loaded) or 'nothing'}"]
        words += [f"fresh {', '.join(self.fresh)}"] if self.fresh else []
        words += [f"not in this net {', '.join(self.unused)}"] if self.unused else []
        words += [f"linear as convolution, or the other way about: {', '.join(self.turned)}"] if self.turned else []
        return "; ".join(words)


def load(engine: Engine, files: tuple[str, ...], fresh: tuple[str, ...] = ()) -> Report:
    """Fills every layer with parameters but the fresh ones; later files override earlier ones.

    ConfigError names, all at once, the layers that no file has and those whose shapes differ.
    """
    given: dict[str, Any] = {}
    for file in files:
        given |= read(Path(file))
    wanted = {name: array for name, array in saving.arrays(engine).items() if name.startswith(("data/", "states/"))}
    layers = list(dict.fromkeys(layer_of(name) for name in wanted))
    strange = [name for name in fresh if name not in layers]
    if strange:
        raise ConfigError(f"weights: fresh: there is no layer '{strange[0]}' with parameters; {did_you_mean(strange[0], layers)}")
    used = {name: array for name, array in wanted.items() if layer_of(name) not in fresh}
    wrong = [f"{spoken(name)} is in no file" for name in used if name not in given and name.startswith("data/")]
    wrong += [f"{spoken(name)} is {given[name].shape}, the net has {array.shape}"
              for name, array in used.items() if name in given and not fits(given[name].shape, array.shape)]  # fmt: skip
    if wrong:
        raise ConfigError(f"weights: {'; '.join(wrong)}; rename these layers, or learn them anew: weights.fresh: […]")
    for name in used.keys() & given.keys():
        used[name][...] = given[name].reshape(used[name].shape)
    turned = [layer_of(name) for name in used.keys() & given.keys() if given[name].shape != used[name].shape]
    unused = dict.fromkeys(layer_of(name) for name in given if layer_of(name) not in layers)
    loaded, begun = ([name for name in layers if (name in fresh) == new] for new in (False, True))
    return Report(loaded, begun, list(unused), [name for name in layers if name in turned])


def fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """True for equal shapes, and for a linear layer as the convolution that computes the same:  (O, C h w) and (O, C, h, w)."""
    linear = sorted((len(given), len(wanted))) == [2, 4] and given[0] == wanted[0] and prod(given) == prod(wanted)
    return given == wanted or linear


def read(path: Path) -> dict[str, Any]:
    """Weights and states by their path in the file: a snapshot of ours, or an HDF5 file of Caffe's (data/LAYER/INDEX)."""
    try:
        return {name: array for name, array in snapshot.read(path).arrays.items() if name.startswith(("data/", "states/"))}
    except SnapshotError as error:
        if "not a snapshot" not in str(error):
            raise
    found = snapshot.read_arrays(path, "data")
    if not found:
        raise SnapshotError(f"{path}: holds no weights: neither a snapshot nor a .caffemodel.h5")
    return found


def layer_of(name: str) -> str:
    """data/LAYER/0 or states/LAYER.ROLE -> LAYER"""
    group, rest = name.split("/", 1)
    return (rest.rsplit("/", 1)[0] if group == "data" else rest.split("@")[0].rsplit(".", 1)[0]).replace("%2F", "/")


def spoken(name: str) -> str:
    return f"{layer_of(name)} ({name})"
