"""dltrain weights convert: weights from one kind of file into another, under other names, or in the shapes of a net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dltrain import snapshot
from dltrain.console import Console
from dltrain.errors import ConfigError, DataError
from dltrain.features import put
from dltrain.launch import engine_of
from dltrain.marks import load
from dltrain.run import Run
from dltrain.sketch import sketch
from dltrain.tensor import Shape
from dltrain.weight_files import keeps_order, read, safetensors_or_words
from dltrain.weight_names import Arrays, dotted, layer_of, mapped, part_of, placed
from dltrain.weights import adapted, fill, kept

STATISTICS = ("mean", "variance", "factor")  # of BatchNorm, in Caffe's order


def convert(source: str, out: str, names: str | None, by_order: bool, net: str | None, console: Console) -> None:
    """IN to OUT, whose ending says as what; renamed by `names`, and in the shapes of `net`, where they are given."""
    target = Path(out)
    write = writer_of(target)
    if by_order and net is None:
        raise ConfigError("--by-order needs the layers to go by; add --net CONFIG")
    path = file_of(source)
    arrays = read(path)
    if names is not None:
        arrays = mapped(arrays, mapping(Path(names)))
    report = ""
    if net is not None:
        arrays, report = fitted(path, arrays, net, by_order)
    try:
        put(target, lambda temporary: write(temporary, arrays))
    except DataError as error:
        raise DataError(f"{error}; choose another folder, or make room") from None
    layers = list(dict.fromkeys(map(layer_of, arrays)))
    count = sum(array.size for array in arrays.values())
    made = {"out": out, "layers": layers, "arrays": len(arrays), "numbers": count}
    console.note(f"weights {report}" if report else f"from    {path}")
    console.result(made, f"{out}: {len(layers)} layers, {len(arrays)} arrays, {count:,} numbers")


def file_of(source: str) -> Path:
    """A file of weights, or the best weights of a run."""
    run = Run.find(Path(source))
    return run.weights()[0] if run is not None else Path(source)


def mapping(path: Path) -> dict[str, Any]:
    """The names of --map: a YAML mapping of old names to new ones."""
    document = load(path)
    document.raise_mistakes()
    said = document.value
    if not isinstance(said, dict) or not all(new is None or isinstance(new, str) for new in said.values()):
        raise ConfigError(f'{path}: is no mapping of names; write a line each: conv1: first, "body.*": "*", head: null')
    return said


def fitted(path: Path, given: Arrays, net: str, by_order: bool) -> tuple[Arrays, str]:
    """The arrays under the names and in the shapes of a net, and what came of it."""
    config = sketch(net, ())
    engine = engine_of(config, "reference", with_solver=False)
    try:
        wanted = kept(engine)
        if by_order:
            if not keeps_order(path):
                words = f"{path.suffix} files do not keep the order of their arrays"
                raise ConfigError(f"--by-order: {words}; go by name, by --map, or save them as .npz")
            place = {line.name: at for at, line in enumerate(config.net.lines[number] for number in config.net.order)}
            layers = sorted(dict.fromkeys(map(layer_of, wanted)), key=place.__getitem__)
            given = in_order(given, layers, wanted)
        report = fill(engine, adapted(given, engine.net.store))
        return {name: np.array(array) for name, array in wanted.items() if "@" not in name}, str(report)
    finally:
        engine.close()


def in_order(given: Arrays, layers: list[str], wanted: Arrays) -> Arrays:
    """The layers of a file under the names of those of a net, one after another."""
    theirs = list(dict.fromkeys(map(layer_of, given)))
    if len(theirs) != len(layers):
        pairs = ((a, b) for a, b in zip(theirs, layers) if sizes(given, a) != sizes(wanted, b))
        first = next((f"; the first that differ: {a} ({told(given, a)}) and {b} ({told(wanted, b)})" for a, b in pairs), "")
        raise ConfigError(f"--by-order: the file has {len(theirs)} layers with weights, the net {len(layers)}{first}")
    names = dict(zip(theirs, layers))
    return {placed(name, names[layer_of(name)]): array for name, array in given.items()}


def of_layer(arrays: Arrays, layer: str) -> list[Any]:
    return [array for name, array in arrays.items() if layer_of(name) == layer and name.startswith("data/")]


def sizes(arrays: Arrays, layer: str) -> list[int]:
    return [array.size for array in of_layer(arrays, layer)]


def told(arrays: Arrays, layer: str) -> str:
    return ", ".join(str(Shape(array.shape)) for array in of_layer(arrays, layer)) or "statistics"


# --- writers ---
def write_snapshot(path: Path, arrays: Arrays) -> None:
    path.write_bytes(snapshot.image(snapshot.Snapshot(arrays)))


def write_caffe_hdf5(path: Path, arrays: Arrays) -> None:
    """data/LAYER/INDEX in float32, as Caffe's own; made in memory so that a full disk meets one plain write."""
    import h5py

    with h5py.File(path.name, "w", driver="core", backing_store=False, libver="v110") as file:
        for layer, blobs in blobs_of(arrays).items():
            for index, blob in enumerate(blobs):
                file.create_dataset(f"data/{layer.replace('/', '%2F')}/{index}", data=blob, track_times=False)
        file.flush()
        path.write_bytes(file.id.get_file_image())


def write_caffemodel(path: Path, arrays: Arrays) -> None:
    """Names and blobs, which is what Caffe takes from such a file."""
    from dltrain.caffe.blobs import blob as message_of
    from dltrain.caffe.message import Message
    from dltrain.caffe.wire import write_wire

    layers = [
        Message("LayerParameter").put("name", layer).add("blobs", *map(message_of, blobs))
        for layer, blobs in blobs_of(arrays).items()
    ]
    path.write_bytes(write_wire(Message("NetParameter").add("layer", *layers)))


def blobs_of(arrays: Arrays) -> dict[str, list[Any]]:
    """Layer -> its arrays in Caffe's order; BatchNorm's statistics stand alone, its scale and bias as a layer NAME_scale."""
    layers: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        if "@" not in name:
            layers.setdefault(layer_of(name), {})[part_of(name)] = np.asarray(array, np.float32)
    made: dict[str, list[Any]] = {}
    for layer, parts in layers.items():
        held = [parts.pop(role) for role in STATISTICS if role in parts]
        made |= {layer: held} if held else {}
        learnt = [parts[index] for index in sorted(parts, key=lambda part: (len(part), part))]
        made |= {f"{layer}_scale" if held else layer: learnt} if learnt else {}
    return made


def write_npz(path: Path, arrays: Arrays) -> None:
    np.savez(path, **dotted(arrays))


def write_safetensors(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in dotted(arrays).items()}))


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    ".caffemodel.h5": write_caffe_hdf5, ".h5": write_snapshot, ".caffemodel": write_caffemodel,
    ".npz": write_npz, ".safetensors": write_safetensors,
}  # fmt: skip


def writer_of(target: Path) -> Callable[[Path, Arrays], None]:
    """By the ending; refused before anything is read."""
    found = next((WRITERS[ending] for ending in WRITERS if target.name.lower().endswith(ending)), None)
    if found is None:
        raise ConfigError(f"{target}: cannot be written; a file of weights ends in {', '.join(WRITERS)}")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}")
    if target.is_dir():
        raise ConfigError(f"{target}: is a folder; give the name of a file")
    if found is write_safetensors:
        safetensors_or_words(target)
    return found
