"""Snapshots: one HDF5 file that holds all a run needs to go on as if it had never stopped.

/data/LAYER/I            weights, as Caffe's .caffemodel.h5 has them ("/" in a name as %2F)
/slots/SLOT/LAYER/I      what the solver remembers
/states/NAME             what layers remember
/scaling/NAME            of a run in fp16: the factor of its loss, and how long it has held
/transforms/NUMBER/NAME  what was computed over the training split
/run                     JSON: iteration, counters, history, config, environment
attributes               dltrain (the format), digest (SHA-256 of it all)
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.errors import SnapshotError
from dltrain.store import Store

FORMAT = 1


@dataclass
class Snapshot:
    """What is in a file: arrays by path, and the run's own record."""

    arrays: dict[str, Any]
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest(self.arrays, json.dumps(self.run, sort_keys=True))


def digest(arrays: dict[str, Any], text: str = "") -> str:
    """SHA-256 of names, types, shapes and values, whatever the memory layout."""
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def paths(store: Store) -> dict[str, str]:
    """LAYER/ROLE -> LAYER/I, I counting the roles of a layer in the order of its docstring."""
    made: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer, role in store.segments:
        counts[layer] = counts.get(layer, -1) + 1
        made[f"{layer}/{role}"] = f"{layer.replace('/', '%2F')}/{counts[layer]}"
    return made


def write(path: Path, snapshot: Snapshot) -> None:
    """Writes under a temporary name, syncs, renames, syncs the folder: a reader sees all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(image(snapshot))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise SnapshotError(
            f"{path}: cannot be written ({reason}); earlier snapshots are untouched; free some room, then --resume"
        ) from None


def image(snapshot: Snapshot) -> Any:
    """The bytes of the HDF5 file, made in memory so that a full disk meets one plain write."""
    import h5py

    with h5py.File("snapshot", "w", driver="core", backing_store=False, libver="v110") as file:
        for name in sorted(snapshot.arrays):
            file.create_dataset(name, data=np.asarray(snapshot.arrays[name], order="C"), track_times=False)
        file.attrs["dltrain"] = FORMAT
        file.create_dataset(
            "run", data=np.frombuffer(json.dumps(snapshot.run, sort_keys=True).encode(), np.uint8), track_times=False
        )
        file.attrs["digest"] = np.bytes_(snapshot.digest)  # of fixed length: libhdf5 may hang on a damaged one of any length
        file.flush()
        return file.id.get_file_image()


def read(path: Path) -> Snapshot:
    """Reads a snapshot and holds it against its digest; SnapshotError for anything that is not a whole one."""
    attributes = read_attributes(path)
    if attributes.get("dltrain") != FORMAT:
        raise SnapshotError(f"{path}: is HDF5, but not a snapshot of this dltrain")
    arrays = read_arrays(path)
    try:
        made = Snapshot(arrays, json.loads(arrays.pop("run").tobytes().decode()))
    except (KeyError, ValueError) as error:
        raise SnapshotError(f"{path}: is damaged: its record of the run cannot be read ({error})") from None
    if made.digest != attributes.get("digest"):
        raise SnapshotError(f"{path}: is damaged: its content does not match its digest")
    return made


def read_attributes(path: Path) -> dict[str, Any]:
    """The attributes at the top of an HDF5 file."""
    import h5py

    if not path.is_file():
        raise SnapshotError(f"{path}: there is no such snapshot")
    try:
        with h5py.File(path, "r") as file:
            fixed = [name for name in file.attrs if file.attrs.get_id(name).dtype.kind in "iufS"]
            return {name: told(file.attrs[name]) for name in fixed}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise damaged(path, error) from None


def told(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def read_arrays(path: Path, group: str = "/") -> dict[str, Any]:
    """All arrays of a group by their full path.  An array that claims more than the file can hold is refused unread."""
    import h5py

    arrays: dict[str, Any] = {}
    limit = path.stat().st_size

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            if node.nbytes > limit or node.dtype.kind not in "fiu" or node.external:
                raise SnapshotError(f"{path}: '{name}' is not an array that a snapshot holds")
            arrays[node.name.lstrip("/")] = node[()]

    try:
        with h5py.File(path, "r") as file:
            if group in file:
                file[group].visititems(visit)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise damaged(path, error) from None
    return arrays


def damaged(path: Path, error: Exception) -> SnapshotError:
    return SnapshotError(f"{path}: is damaged or no snapshot ({str(error).splitlines()[0][:100]})")


def fit(path: Path, arrays: dict[str, Any], wanted: dict[str, Any]) -> None:
    """SnapshotError that names every array which is missing, or has another shape, or is not wanted."""
    wrong = [f"{name} is missing" for name in wanted if name not in arrays]
    wrong += [
        f"{name} is {arrays[name].shape}, the net has {wanted[name].shape}"
        for name in wanted
        if name in arrays and arrays[name].shape != wanted[name].shape
    ]
    wrong += [f"{name} is not in the net" for name in arrays if name not in wanted]
    if wrong:
        more = f" and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise SnapshotError(f"{path}: belongs to another net: {'; '.join(wrong[:6])}{more}")
