"""Weights of another run, or of another program, put into a net by the names of its layers; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from dltrain import saving, snapshot
from dltrain.engine import Engine
from dltrain.errors import ConfigError, did_you_mean
from dltrain.store import Store
from dltrain.weight_files import read
from dltrain.weight_names import Arrays, layer_of, matched, part_of, placed

__all__ = ["Report", "fill", "fits", "layer_of", "load", "read"]


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
    given: Arrays = {}
    for file in files:
        given |= adapted(read(Path(file)), engine.net.store)
    return fill(engine, given, fresh)


def fill(engine: Engine, given: Arrays, fresh: tuple[str, ...] = ()) -> Report:
    """Puts arrays under the names of the net into the engine."""
    wanted = kept(engine)
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
    turned = [layer_of(name) for name in used.keys() & given.keys() if used[name].shape not in forms(given[name].shape)]
    unused = dict.fromkeys(layer_of(name) for name in given if layer_of(name) not in layers)
    loaded, begun = ([name for name in layers if (name in fresh) == new] for new in (False, True))
    return Report(loaded, begun, list(unused), [name for name in layers if name in turned])


def kept(engine: Engine) -> Arrays:
    """The engine's weights and states under the names of a file."""
    return {name: array for name, array in saving.arrays(engine).items() if name.startswith(("data/", "states/"))}


def fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """True for equal shapes, and for a linear layer as the convolution that computes the same:  (O, C h w) and (O, C, h, w).

    The first Caffe gave every blob four axes: 1 x 1 x O x K is a matrix, 1 x 1 x 1 x O a vector.
    """
    return any(shape == wanted or linear(shape, wanted) for shape in forms(given))


def forms(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """What a shape may stand for."""
    return [shape] + [shape[ones:] for ones in (2, 3) if len(shape) == 4 and shape[:ones] == (1,) * ones]


def linear(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return sorted((len(a), len(b))) == [2, 4] and a[0] == b[0] and prod(a) == prod(b)


def adapted(given: Arrays, store: Store) -> Arrays:
    """The arrays of a file under the names that the net has for them, where it has any.

    Layers may be spelled otherwise (`matched`), arrays be called by their role (data/lstm/weight_h), and the statistics of
    BatchNorm stand where Caffe has them, among the weights, with its scale and bias as a layer NAME_scale.
    """
    index = snapshot.paths(store)
    roles: dict[str, dict[str, str]] = {}
    for name, path in index.items():
        layer, _, role = name.rpartition("/")
        roles.setdefault(layer, {})[role] = path.rpartition("/")[2]
    states: dict[str, list[str]] = {}
    for name in store.states:
        if "@" not in name:
            states.setdefault(name.rpartition(".")[0], []).append(name.rpartition(".")[2])
    names = matched(map(layer_of, given), {**roles, **states})
    blobs: dict[str, list[str]] = {}
    for name in given:
        blobs.setdefault(layer_of(name), []).append(name)
    made: Arrays = {}
    for layer, theirs in blobs.items():
        own = names.get(layer, layer)
        if own not in roles and states.get(own.removesuffix("_scale")):
            own = own.removesuffix("_scale")
        learnt, held = roles.get(own, {}), states.get(own, [])
        among = held and len(theirs) == len(held) != len(learnt) and all(name.startswith("data/") for name in theirs)
        for place, name in enumerate(theirs):
            key = f"states/{own.replace('/', '%2F')}.{held[place]}" if among else placed(name, own)
            if not among and part_of(name) in learnt and name.startswith("data/"):
                key = f"data/{own.replace('/', '%2F')}/{learnt[part_of(name)]}"
            made[key] = given[name]
    return made


def spoken(name: str) -> str:
    return f"{layer_of(name)} ({name})"
