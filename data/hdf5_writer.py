"""Writes our own HDF5 stores, batch by batch; data/hdf5_files.py reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data import manifest
from dltrain.data.hdf5_parts import SHAPES
from dltrain.data.manifest import Manifest
from dltrain.data.records import compact
from dltrain.errors import DataError
from dltrain.source import Arrays, Shape, varies

PIECE = 1 << 18  # elements of a chunk, of samples that differ in size


class TooSmall(Exception):
    """A field was begun as bytes, and has numbers that are none: begin again with that field as float."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Steady:
    """A file whose writes never fail for the HDF5 library, which would not survive it; `error` is what went wrong first."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "w+b", buffering=0)  # noqa: SIM115  closed by its owner
        self.error: OSError | None = None
        self.seek, self.tell, self.read, self.readinto = self.file.seek, self.file.tell, self.file.read, self.file.readinto

    def write(self, piece: Any) -> int:
        left = memoryview(piece).cast("B")
        try:
            while self.error is None and len(left):
                left = left[self.file.write(left) :]
        except OSError as error:
            self.error = error
        return len(piece)

    def truncate(self, size: int) -> int:
        try:
            self.file.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def check(self) -> None:
        if self.error is not None:
            raise self.error


class Hdf5Writer:
    """A dataset a field: bytes where all numbers are whole and of 0 .. 255, float32 where not, int32 for an index.

    Samples that differ in size stand one behind another in a flat dataset, their shapes in dltrain/shapes.
    """

    def __init__(self, path: Path, fields: dict[str, Shape], count: int, wide: set[str]) -> None:
        """`wide` are the fields that are known not to be bytes."""
        import h5py

        self.fields, self.samples, self.count = fields, count, 0
        self.wide = wide
        self.made: Arrays = {}
        self.shapes: dict[str, Any] = {name: np.empty((count, len(x)), np.int64) for name, x in fields.items() if varies(x)}
        self.disk = Steady(path)
        self.file = h5py.File(self.disk, "w", libver=("v110", "v110"))

    def add(self, batch: Arrays) -> None:
        for name, rows in batch.items():
            if name in self.shapes:
                self.append(name, rows)
            else:
                self.place(name, rows)
        self.count += len(next(iter(batch.values())))
        self.disk.check()

    def place(self, name: str, rows: Any) -> None:
        small = rows if name in self.wide else compact(rows)
        if name not in self.made:
            shape = (self.samples, *self.fields[name])
            self.made[name] = self.file.create_dataset(name, shape, small.dtype, track_times=False)
        if small.dtype != self.made[name].dtype and self.made[name].dtype == np.uint8:
            raise TooSmall(name)
        self.made[name][self.count : self.count + len(rows)] = small

    def append(self, name: str, rows: list[Any]) -> None:
        """Samples that differ in size, behind those that are there."""
        arrays = [np.asarray(row) for row in rows]
        self.shapes[name][self.count : self.count + len(rows)] = [array.shape for array in arrays]
        flat = np.concatenate([array.reshape(-1) for array in arrays])
        if name not in self.made:
            self.made[name] = self.file.create_dataset(
                name, (0,), flat.dtype, maxshape=(None,), chunks=(PIECE,), track_times=False
            )
        dataset = self.made[name]
        if any(array.dtype != dataset.dtype for array in arrays):
            kinds = {str(dataset.dtype), *(str(array.dtype) for array in arrays)}
            raise DataError(f"data: '{name}' has samples of several types ({', '.join(sorted(kinds))}); convert to a .lmdb")
        start = len(dataset)
        dataset.resize((start + len(flat),))
        dataset[start:] = flat

    def close(self, about: Manifest) -> None:
        for name, shapes in self.shapes.items():
            self.file.create_dataset(f"{SHAPES}/{name}", data=shapes, track_times=False)
        self.file.create_dataset(manifest.NAME, data=np.frombuffer(about.text(), np.uint8), track_times=False)
        self.abort()
        self.disk.check()

    def abort(self) -> None:
        """Gives up; the file is the caller's to remove."""
        self.file.close()
        self.disk.file.close()
