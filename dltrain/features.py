"""dltrain extract-features: any blobs of a whole split, each sample once, in order, with labels and ids."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.engine import Engine
from dltrain.errors import ConfigError, DataError, did_you_mean
from dltrain.feed import Feed

FORMATS = (".h5", ".npz", ".csv")


def check(engine: Engine, blobs: tuple[str, ...], out: Path) -> None:
    """The names of the blobs and of the file, before anything runs."""
    known = engine.net.shapes["test"]
    for name in blobs:
        if name not in known:
            raise ConfigError(f"--blob {name}: there is no such blob; {did_you_mean(name, known)}")
        if known[name].count == 1 and len(known[name]) == 1 and name not in engine.net.fields:
            raise ConfigError(f"--blob {name}: is one number for the whole batch, not a feature of a sample")
    if out.suffix not in FORMATS:
        raise ConfigError(f"--out {out}: cannot be written; a file of features ends in {', '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")


def extract(engine: Engine, feed: Feed, split: str, blobs: tuple[str, ...], out: Path) -> dict[str, Any]:
    """Writes one array a blob, the source's other fields, and `id`; returns the shapes by name.

    In HDF5 a field of classes also says what they are called, where the source does.
    """
    columns: dict[str, list[Any]] = {name: [] for name in blobs}
    first = next(iter(feed.fields))
    others = [field for field in feed.fields if field != first and field not in blobs]
    columns |= {field: [] for field in others}
    for batch in feed.batches(split):
        size = len(batch[first])
        engine.forward("test", batch, split, upto=blobs)
        for name in blobs:
            value = batch[name] if name in batch else engine.blob(name)
            if len(value) != size:
                raise ConfigError(f"--blob {name}: has {len(value)} rows for {size} samples; choose a blob above the cut")
            columns[name].append(value)
        for field in others:
            columns[field].append(batch[field])
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    ids = [feed.source.identify(int(index)) for index in feed.rows(split)]
    names = {field: words for field, words in getattr(feed.source, "names", {}).items() if field in arrays}

    def write(path: Path) -> None:
        WRITERS[out.suffix](path, arrays, ids)
        if names and out.suffix == ".h5":
            name_classes(path, names)

    put(out, write)
    return {name: list(array.shape) for name, array in arrays.items()}


def put(out: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name beside it, then at once under its own."""
    temporary = out.with_name(f".{out.stem}.{os.getpid()}{out.suffix}")
    try:
        write(temporary)
        os.replace(temporary, out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{out}: cannot be written ({error.strerror or error})") from None


def write_h5(path: Path, arrays: dict[str, Any], ids: list[str]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name.replace("/", "%2F"), data=array)
        file.create_dataset("id", data=ids, dtype=h5py.string_dtype())


def name_classes(path: Path, names: dict[str, list[Any]]) -> None:
    """What the classes of a field are called, as its attribute `names`: texts of one length, which no damaged heap can hide."""
    import h5py

    with h5py.File(path, "r+") as file:
        for field, words in names.items():
            file[field.replace("/", "%2F")].attrs["names"] = np.array([str(word).encode() for word in words])


def write_npz(path: Path, arrays: dict[str, Any], ids: list[str]) -> None:
    np.savez(path, **arrays, id=np.array(ids))


def write_csv(path: Path, arrays: dict[str, Any], ids: list[str]) -> None:
    """A row a sample; an array of several numbers takes several columns, NAME.0, NAME.1 …"""
    flat = {name: array.reshape(len(ids), -1) for name, array in arrays.items()}
    head = ["id"] + [name if part.shape[1] == 1 else f"{name}.{i}" for name, part in flat.items() for i in range(part.shape[1])]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row, name in enumerate(ids):
            writer.writerow([name, *(value.item() for part in flat.values() for value in part[row])])


WRITERS = {".h5": write_h5, ".npz": write_npz, ".csv": write_csv}
