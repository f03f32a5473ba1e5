"""dltrain data convert: any source as one HDF5 file or one LMDB, from which a net trains as it did from the source."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.console import Console
from dltrain.data.hdf5_writer import Hdf5Writer, TooSmall
from dltrain.data.manifest import Manifest
from dltrain.data.records import RecordWriter
from dltrain.data_section import data_of, document_of
from dltrain.errors import ConfigError, DataError
from dltrain.feed import Feed
from dltrain.reader import Reader
from dltrain.registry import SOURCES
from dltrain.source import Arrays, Source, varies
from dltrain.supply import read_section

LMDB = ".lmdb"
SUFFIXES = (".h5", ".hdf5", LMDB)
AT_ONCE = 32 << 20  # bytes of samples that are held at a time
MOST, FEW = 256, 8  # samples at a time; where they differ in size


def convert(path: str, out: str, settings: tuple[str, ...], console: Console) -> None:
    """Writes the source of a config (or of a text such as {type: csv, file: x.csv}) to `out`, and reads it back.

    Every sample keeps its place, and the store the fields, classes, names, splits and facts; transforms stay in the config.
    """
    target = Path(out)
    check_target(target)
    source = read_source(path, settings)
    source.open()
    if len(source) == 0 or any(source.arrange(np.asarray(rows), 1) is not None for rows in source.splits.values()):
        raise DataError(
            f"data: samples of {source.type} continue one another, which a store does not keep; train from it as it is"
        )
    about = Manifest.of(source)
    check_room(target, about)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    console.note(f"converting {len(source):,} samples to {target}")
    try:
        write(source, about, temporary, target, console)
        verify(about, temporary, target, console)
        settle(temporary, target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({reason(error)}); make room, or choose another folder") from None
    finally:
        console.end()
        remove(temporary)
    size = sum(file.stat().st_size for file in (target.iterdir() if target.is_dir() else [target]))
    splits = {name: len(rows) for name, rows in about.splits.items()}
    words = ", ".join(f"{name} {count:,}" for name, count in splits.items())
    console.result(
        {"out": out, "samples": about.count, "splits": splits, "bytes": size, "digest": about.digest},
        f"{target}: {about.count:,} samples ({words}), {size / 2**20:,.1f} MiB, read back and alike",
    )


def check_target(target: Path) -> None:
    """ConfigError where the name, the folder or what stands there already does not allow it."""
    if target.suffix not in SUFFIXES:
        raise ConfigError(f"{target}: cannot be written; name a file.h5 or a folder.lmdb")
    if os.path.lexists(target):
        raise ConfigError(f"{target}: is there already; remove it, or choose another name")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: there is no folder {target.parent}; make it first")


def check_room(target: Path, about: Manifest) -> None:
    """DataError where the samples cannot fit on the disk, however small they are written."""
    least = sum(
        prod(shape) * (4 if shape.dtype == "index" else 1) * about.count for shape in about.fields.values() if not varies(shape)
    )
    free = shutil.disk_usage(target.parent).free
    if least > free:
        raise DataError(
            f"{target}: needs {least / 2**30:,.1f} GiB at least, and the disk has {free / 2**30:,.1f} left; make room"
        )


def read_source(path: str, settings: tuple[str, ...]) -> Source:
    """The source that a config's data section names, checked but not yet opened."""
    document = document_of(path, settings)
    value = data_of(document)
    keys = read_section(document, value)
    document.raise_mistakes()
    assert keys is not None
    return Feed(keys, 1).source


# --- writing and reading back ---
def batches(source: Source, console: Console) -> Iterator[Arrays]:
    """All samples in the order of their numbers, some at a time."""
    reader, fields = Reader(source), source.fields
    if any(varies(shape) for shape in fields.values()):
        size = FEW
    else:
        size = min(MOST, max(1, AT_ONCE // (4 * sum(prod(shape) for shape in fields.values()))))
    console.begin(0, len(source))
    for start in range(0, len(source), size):
        rows = np.arange(start, min(start + size, len(source)))
        batch, _ = reader.read(rows, tuple(fields))
        yield batch
        for _ in rows:
            console.advance()
    console.end()


class Digest:
    """SHA-256 of samples as the net reads them, whatever the parts they come in."""

    def __init__(self, fields: Any) -> None:
        self.totals = {name: hashlib.sha256(f"{name} {shape.dtype} {shape}".encode()) for name, shape in fields.items()}

    def add(self, batch: Arrays) -> None:
        for name, rows in batch.items():
            if isinstance(rows, list):
                for row in rows:
                    self.totals[name].update(f"{row.dtype} {row.shape}".encode() + np.ascontiguousarray(row).tobytes())
            else:
                self.totals[name].update(np.ascontiguousarray(rows).data)

    def text(self) -> str:
        whole = hashlib.sha256()
        for total in self.totals.values():
            whole.update(total.digest())
        return whole.hexdigest()


def write(source: Source, about: Manifest, temporary: Path, target: Path, console: Console) -> None:
    """The whole store under its temporary name; begun again where a field turns out to need more than bytes."""
    wide: set[str] = set()
    while True:
        hdf5 = target.suffix != LMDB
        writer: Any = Hdf5Writer(temporary, about.fields, about.count, wide) if hdf5 else RecordWriter(temporary)
        digest = Digest(about.fields)
        try:
            for batch in batches(source, console):
                writer.add(batch)
                digest.add(batch)
            about.digest = digest.text()
            writer.close(about)
            return
        except TooSmall as field:
            console.end()
            writer.abort()
            remove(temporary)
            wide.add(field.field)
        except BaseException:
            writer.abort()
            raise


def verify(about: Manifest, temporary: Path, target: Path, console: Console) -> None:
    """Reads the store as training will, and holds it against what was written."""
    lmdb = target.suffix == LMDB
    store: Source = SOURCES["lmdb"](file=str(temporary)) if lmdb else SOURCES["hdf5"](file=(str(temporary),))
    store.open()
    digest = Digest(store.fields)
    for batch in batches(store, console):
        digest.add(batch)
    found = Manifest.of(store)
    same = all(np.array_equal(found.splits[name], rows) for name, rows in about.splits.items())
    if digest.text() != about.digest or not same or list(found.fields.items()) != list(about.fields.items()):
        raise DataError(f"{target}: does not read back as it was written; the disk or the memory of this machine is at fault")


def settle(temporary: Path, target: Path) -> None:
    """Gives the store its name, once all of it is on the disk."""
    for path in [*(temporary.iterdir() if temporary.is_dir() else []), temporary]:
        sync(path)
    os.rename(temporary, target)
    sync(target.parent)


def sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error).partition("\n")[0][:160]
    return words or type(error).__name__
