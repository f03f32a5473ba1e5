"""Files of features, as dltrain extract-features writes them, read back: rows and their classes."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data.npy import DAMAGE, admit, installed, load_member
from dltrain.errors import DataError, did_you_mean

LARGEST = float(np.finfo(np.float32).max)  # what is beyond is not finite in a net
WAY_OUT = "expected what dltrain extract-features writes, .h5 or .npz"


@dataclass
class Features:
    """x (N, D), the class of each row, and what the classes are called where the file says it."""

    path: Path
    blob: str
    x: Any
    labels: Any
    names: list[str] = field(default_factory=list)

    def name_of(self, label: int) -> str:
        return self.names[label] if 0 <= label < len(self.names) else str(label)


def read(path: Path, blob: str | None, label: str) -> Features:
    """The rows of `blob` (of the only one that is no label, where none is named), flat, with the numbers of their classes."""
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; {WAY_OUT}")
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; {WAY_OUT}")
        if path.suffix not in READERS:
            raise DataError(f"{path}: is no file of features; {WAY_OUT}")
        known = LISTERS[path.suffix](path)
        blob = chosen(path, known, blob, label)
        arrays, names = READERS[path.suffix](path, (blob, label))
    except PermissionError:
        raise DataError(f"{path}: cannot be read (Permission denied); make the file readable") from None
    except (*DAMAGE, OSError) as error:
        words = str(error).partition("\n")[0][:100]
        raise DataError(f"{path}: is damaged, or no file of features ({words}); {WAY_OUT}") from None
    return checked(path, blob, label, arrays, names)


def chosen(path: Path, known: dict[str, tuple[int, ...]], blob: str | None, label: str) -> str:
    """The name of the blob; DataError where it, or the label, is not there, or one is what the other is."""
    if "id" in (blob, label):
        raise DataError(f"{path}: 'id' says which sample a row is of; name the classes with --label, features with --blob")
    if blob == label:
        raise DataError(f"{path}: '{blob}' is the class itself; name features with --blob")
    if label not in known:
        raise DataError(f"{path}: has no '{label}'; {did_you_mean(label, known)} (--label)")
    blobs = [name for name, shape in known.items() if name not in (label, "id") and len(shape) > 1]
    if blob is None and len(blobs) == 1:
        return blobs[0]
    if blob is None:
        raise DataError(f"{path}: has {', '.join(blobs) or 'no rows of numbers'}; say which with --blob")
    if blob not in known:
        raise DataError(f"{path}: has no '{blob}'; {did_you_mean(blob, known)} (--blob)")
    return blob


def checked(path: Path, blob: str, label: str, arrays: dict[str, Any], names: list[str]) -> Features:
    """The arrays as rows and classes; DataError where they are neither."""
    x, labels = arrays[blob], arrays[label]
    if labels.dtype.kind not in "iu" or labels.shape != labels.shape[:1]:
        raise DataError(
            f"{path}: '{label}' is not one class a sample but {labels.dtype} of {labels.shape}; name another with --label"
        )
    if len(x) != len(labels) or not len(x):
        raise DataError(f"{path}: '{blob}' has {len(x)} rows and '{label}' {len(labels)}; {WAY_OUT}")
    x = np.asarray(x.reshape(len(x), -1), np.float64)
    wrong = ~(np.abs(x) <= LARGEST)
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(1))[0])
        raise DataError(
            f"{path}: '{blob}' has numbers that are not finite, the first in row {row}; find out where the net makes them"
        )
    return Features(path, blob, x, np.asarray(labels, np.int64), names)


# --- HDF5 ---
def list_hdf5(path: Path) -> dict[str, tuple[int, ...]]:
    import h5py

    with h5py.File(path, "r") as file:
        return {name.replace("%2F", "/"): node.shape for name, node in file.items() if isinstance(node, h5py.Dataset)}


def read_hdf5(path: Path, wanted: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    import h5py

    arrays: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        for name in wanted:
            node = file[name.replace("/", "%2F")]
            if node.dtype.kind not in "fiu" or node.external or node.nbytes > installed():
                raise ValueError(f"'{name}' holds no numbers, or more than this machine has memory for")
            arrays[name] = node[()]
        return arrays, named(file[wanted[1].replace("/", "%2F")].attrs)


def named(attributes: Any) -> list[str]:
    """The names of the classes; only as texts of one length: libhdf5 may search a damaged heap for others without end."""
    known = attributes.get_id("names") if "names" in attributes else None
    if known is None or known.dtype.kind != "S" or len(known.shape) != 1:
        return []
    return [word.decode("utf-8", "replace") for word in attributes["names"].tolist()]


# --- npz ---
def list_npz(path: Path) -> dict[str, tuple[int, ...]]:
    from dltrain.data.npy import read_header

    with zipfile.ZipFile(path) as archive:
        members = numbers(archive, path)
        found = {}
        for name, member in members.items():
            with archive.open(member) as stream:
                found[name] = read_header(stream).shape
        return found


def numbers(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members but the ids, which are words."""
    members = [member for member in archive.infolist() if member.filename != "id.npy"]
    admit(members, os.path.getsize(path))
    return {member.filename.removesuffix(".npy"): member for member in members}


def read_npz(path: Path, wanted: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    with zipfile.ZipFile(path) as archive:
        members = numbers(archive, path)
        return {name: load_member(archive, members[name]) for name in wanted}, []


LISTERS = {".h5": list_hdf5, ".npz": list_npz}
READERS = {".h5": read_hdf5, ".npz": read_npz}
