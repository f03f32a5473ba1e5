"""Caffe's HDF5 files: weights by layer and index, and the state of a solver; sizes are held against the file's before reading.

.caffemodel.h5    /data/LAYER/INDEX; every layer has a group, those without weights an empty one
.solverstate.h5   iter, current_step [1]; learned_net, a text; history/INDEX
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.errors import DataError

MAGIC = b"\x89HDF\r\n\x1a\n"
BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)  # what a foreign file raises
MOST = 100_000  # datasets, and members of a group
DEEPEST = 8  # groups within groups
RATIO = 8  # packed, weights do not shrink by more
LONGEST = 1 << 16  # bytes of a text


def looks_like(path: Path) -> bool:
    """True for an HDF5 file, whatever its name."""
    try:
        with open(path, "rb") as file:
            return path.is_file() and file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file for reading; DataError for whatever goes wrong with it."""
    import h5py

    try:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BROKEN as error:
        words = str(error).partition("\n")[0][:160] or type(error).__name__
        raise DataError(f"{path}: is no HDF5 file, or is damaged or cut short ({words}); get it again") from None


def members(path: Path, group: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All datasets below a group by their path, in the order of the file; links to elsewhere are refused."""
    import h5py

    if depth > DEEPEST or len(group) > MOST:
        raise DataError(f"{path}: '{prefix}' holds more groups than the weights of a net need")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: '{prefix}{name}' is a link to elsewhere; expected the data themselves")
        member = group[name]
        if isinstance(member, h5py.Group):
            yield from members(path, member, f"{prefix}{name}/", depth + 1)
        elif isinstance(member, h5py.Dataset):
            yield prefix + name, member


def listed(path: Path, group: Any) -> dict[str, Any]:
    """The datasets below a group, which together may not claim much more than the file can hold."""
    found: dict[str, Any] = {}
    total = 0
    for name, dataset in islice(members(path, group), MOST + 1):
        found[name], total = dataset, total + dataset.nbytes
    if len(found) > MOST or total > RATIO * path.stat().st_size:
        raise DataError(f"{path}: says that it holds {len(found):,} arrays of {total:,} bytes, more than a file of its size can")
    return found


def numbers(path: Path, name: str, dataset: Any) -> Any:
    """The array of a dataset."""
    if dataset.dtype.kind not in "fiu" or dataset.is_virtual or dataset.external or dataset.shape is None:
        raise DataError(f"{path}: '{name}' holds no numbers of its own")
    return dataset[()]


def indexed(path: Path, where: str, found: Mapping[str, Any]) -> list[Any]:
    """The datasets 0, 1, 2, ... of a group, in that order."""
    wanted = [str(index) for index in range(len(found))]
    if set(found) != set(wanted):
        raise DataError(f"{path}: '{where}' holds {', '.join(sorted(found)[:6])}; expected 0, 1, 2, ...")
    return [numbers(path, f"{where}/{name}", found[name]) for name in wanted]


def read_weights(path: Path) -> list[tuple[str, list[Any]]]:
    """(layer, its arrays) of /data, in the order of the file; "%2F" in a name, as dltrain writes it, is "/"."""
    with opened(path) as file:
        layers: dict[str, dict[str, Any]] = {}
        for name, dataset in (listed(path, file["data"]) if "data" in file else {}).items():
            layer, _, index = name.rpartition("/")
            layers.setdefault(layer.replace("%2F", "/"), {})[index] = dataset
        if not layers:
            raise DataError(f"{path}: holds no weights: there is no /data/LAYER/0 in it")
        return [(layer, indexed(path, f"data/{layer}", found)) for layer, found in layers.items()]


def write_weights(path: Path, layers: Mapping[str, Sequence[Any]]) -> None:
    """/data/LAYER/INDEX; DataError for a name with "/", for which Caffe looks in vain."""
    slashed = [name for name in layers if "/" in name]
    if slashed:
        raise DataError(f"{path}: Caffe cannot find '{slashed[0]}' in HDF5, for the '/' in its name; write a .caffemodel")
    with created(path) as file:
        data = file.create_group("data")
        for name, arrays in layers.items():
            group = data.create_group(name)
            for index, values in enumerate(arrays):
                group.create_dataset(str(index), data=np.asarray(values, np.float32), track_times=False)


def read_state(path: Path) -> tuple[int, str, int, list[Any]]:
    """(iter, learned_net, current_step, history)"""
    with opened(path) as file:
        missing = [name for name in ("iter", "history") if name not in file]
        if missing:
            raise DataError(f"{path}: has no '{missing[0]}'; expected a .solverstate.h5")
        singles = listed(path, file)
        count, step = (number(path, name, singles.get(name)) for name in ("iter", "current_step"))
        history = {name.removeprefix("history/"): dataset for name, dataset in singles.items() if name.startswith("history/")}
        return count, text(path, singles.get("learned_net")), step, indexed(path, "history", history)


def number(path: Path, name: str, dataset: Any) -> int:
    """The one whole number of a dataset; 0 where there is none."""
    if dataset is None:
        return 0
    if dataset.shape not in ((), (1,)) or dataset.dtype.kind not in "iu":
        raise DataError(f"{path}: '{name}' is no whole number")
    return int(numbers(path, name, dataset).reshape(-1)[0])


def text(path: Path, dataset: Any) -> str:
    """The one text of a dataset."""
    if dataset is None:
        return ""
    if dataset.shape not in ((), (1,)) or dataset.dtype.kind not in "SO" or dataset.dtype.itemsize > LONGEST:
        raise DataError(f"{path}: 'learned_net' is no text")
    content = dataset[()] if dataset.shape == () else dataset[0]
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def write_state(path: Path, count: int, learned_net: str, step: int, history: Sequence[Any]) -> None:
    """As Caffe writes it: iter and current_step of one number each, learned_net of fixed length with a zero at its end."""
    import h5py

    with created(path) as file:
        for name, number in (("iter", count), ("current_step", step)):
            file.create_dataset(name, data=np.array([number], np.int32), track_times=False)
        content = learned_net.encode() + b"\0"
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(content))
        dataset = h5py.h5d.create(file.id, b"learned_net", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        dataset.write(h5py.h5s.create(h5py.h5s.SCALAR), h5py.h5s.create(h5py.h5s.SCALAR), np.array(content), kind)
        group = file.create_group("history")
        for index, values in enumerate(history):
            group.create_dataset(str(index), data=np.asarray(values, np.float32), track_times=False)


@contextmanager
def created(path: Path) -> Iterator[Any]:
    """A new file, in the format that Caffe's HDF5 library of any age reads."""
    import h5py

    try:
        with h5py.File(path, "w", libver="earliest") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({str(error).partition(chr(10))[0][:160]})") from None
