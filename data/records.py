"""Our own records in an LMDB: each field of a sample as it is, with its type and shape; what dltrain data convert writes."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data import manifest
from dltrain.data.manifest import Manifest
from dltrain.errors import DataError
from dltrain.source import Arrays

MAGIC = b"dlr1"
TYPES = ["|u1", "<i4", "<f4", "|b1", "|i1", "<u2", "<i2", "<f2", "<i8", "<f8"]  # a type is written as its place here
HEAD = 512  # bytes in which the head of nearly every record lies
ROOM = 1 << 40  # bytes of addresses set aside for the file, as Caffe does; the file is as large as what is in it
TOGETHER = 500  # records that are committed together


@dataclass(frozen=True)
class Place:
    """Where a field lies in its record."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def array(self, record: bytes, start: int = 0) -> Any:
        """The field, of a record whose first `start` bytes are left out."""
        return np.frombuffer(record, self.dtype, prod(self.shape), self.start - start).reshape(self.shape)


def encode(sample: Arrays) -> bytes:
    """A record.

    "dlr1", the number of fields; of each the length of its name, the name, its type, the number of its axes, their sizes in
    4 bytes each; then of each its numbers.  The lowest byte comes first, the last axis runs fastest.
    """
    head, body = [MAGIC, bytes([len(sample)])], []
    for name, value in sample.items():
        array = np.asarray(value)
        word, dtype = name.encode(), array.dtype.newbyteorder("<")
        head += [
            bytes([len(word)]),
            word,
            bytes([TYPES.index(dtype.str), array.ndim]),
            struct.pack(f"<{array.ndim}I", *array.shape),
        ]
        body.append(np.ascontiguousarray(array, dtype).tobytes())
    return b"".join(head + body)


def layout(head: bytes, size: int) -> dict[str, Place]:
    """Where the fields of a record of `size` bytes lie, from its first bytes; ValueError where it is none.

    IndexError where the head goes on behind those bytes.
    """
    if head[:4] != MAGIC:
        raise ValueError("is no record of dltrain")
    said, at = [], 5
    for _ in range(head[4]):
        length = head[at]
        word, at = head[at + 1 : at + 1 + length], at + 1 + length
        kind, axes = head[at], head[at + 1]
        if at + 2 + 4 * axes > len(head):
            raise IndexError
        if kind >= len(TYPES):
            raise ValueError(f"is damaged: a field is of type {kind}")
        said.append((word.decode(), np.dtype(TYPES[kind]), struct.unpack_from(f"<{axes}I", head, at + 2)))
        at += 2 + 4 * axes
    places: dict[str, Place] = {}
    for name, dtype, shape in said:
        places[name] = Place(dtype, shape, at)
        at += places[name].size
    if at != size or len(places) < len(said):
        raise ValueError(f"is damaged: it has {size:,} bytes where its head promises {at:,}")
    return places


def decode(record: bytes, wanted: Collection[str] | None = None) -> Arrays:
    """The fields of a record; ValueError where it is damaged."""
    try:
        places = layout(record, len(record))
        return {name: places[name].array(record) for name in wanted or places}
    except IndexError:
        raise ValueError("is damaged: it ends within its head") from None
    except KeyError as error:
        raise ValueError(f"has no field {error}") from None


def compact(array: Any) -> Any:
    """Float32 numbers as bytes, where these hold every bit of them; else as they are."""
    if array.dtype != np.float32:
        return array
    with np.errstate(invalid="ignore"):
        small = array.astype(np.uint8)
    return small if np.array_equal(small.astype(np.float32).view(np.int32), np.ascontiguousarray(array).view(np.int32)) else array


def key(index: int) -> bytes:
    return b"%010d" % index


class RecordWriter:
    """Writes the records of an LMDB one after another; `close` with the manifest makes it whole.

    What goes wrong is an OSError, as with files.
    """

    def __init__(self, path: Path) -> None:
        try:
            import lmdb
        except ImportError:
            raise DataError(f"{path}: writing an LMDB needs lmdb, which is not installed: pip install 'dltrain[lmdb]'") from None
        self.count, self.trouble = 0, lmdb.Error
        with self.told():
            self.store = lmdb.open(str(path), map_size=ROOM, subdir=True, lock=False, sync=False, metasync=False)
            self.transaction = self.store.begin(write=True)

    @contextmanager
    def told(self) -> Iterator[None]:
        try:
            yield
        except self.trouble as error:
            raise OSError(0, str(error)) from None

    def add(self, batch: Arrays) -> None:
        """Samples, field by field; whole numbers of 0 .. 255 are written as bytes, unless samples differ in size."""
        whole = {name: rows if isinstance(rows, list) else [compact(row) for row in rows] for name, rows in batch.items()}
        for row in range(len(next(iter(whole.values())))):
            self.put(key(self.count), encode({name: rows[row] for name, rows in whole.items()}))
            self.count += 1
            if self.count % TOGETHER == 0:
                with self.told():
                    self.transaction.commit()
                    self.transaction = self.store.begin(write=True)

    def put(self, name: bytes, value: bytes) -> None:
        with self.told():
            self.transaction.put(name, value, append=True)

    def close(self, about: Manifest) -> None:
        self.put(manifest.NAME.encode(), about.text())
        with self.told():
            self.transaction.commit()
            self.store.sync(True)
        self.store.close()

    def abort(self) -> None:
        """Gives up; the folder is the caller's to remove."""
        self.transaction.abort()
        self.store.close()
