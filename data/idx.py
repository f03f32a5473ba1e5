"""IDX, the file format of MNIST: a few words of header, then bytes.  Plain, gzipped or in a zip; hostile until checked."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Shape

BYTES = 0x08  # the type code of unsigned bytes, the only type that is read
CHUNK = 1 << 20
RATIO = 1032  # deflate cannot make more than this many bytes of one


def read_idx(path: Path, shape: tuple[int, ...], member: str | None = None) -> Any:
    """The unsigned bytes of an IDX file as an array of `shape`; DataError where it holds anything else.

    header   0, 0, the type 0x08, the number of axes; then the size of each axis in 4 bytes, the highest first

    An axis of ANY_SIZE is as long as the header says.  `member` is a file inside of a zip.
    """
    where = f"{path}: {member}" if member else str(path)
    sizes = str(Shape(shape)).replace(str(ANY_SIZE), "any")
    expected = f"expected an IDX file of {sizes} bytes, plain or .gz; get the file again"
    if not os.path.isfile(path):
        raise DataError(f"{where}: there is no such file; {expected}")
    try:
        with opened(path, member) as (raw, size):
            packed = raw.peek(2)[:2] == b"\x1f\x8b"  # the content decides, not the name: browsers unpack and keep the .gz
            with gzip.GzipFile(fileobj=raw) if packed else raw as stream:
                return read_checked(stream, shape, size * RATIO if packed else size)
    except ValueError as error:
        raise DataError(f"{where}: {error}; {expected}") from None
    except KeyError:
        raise DataError(f"{where}: there is no such file in the archive; {expected}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: is damaged or cut short ({error}); {expected}") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error}); {expected}") from None


@contextmanager
def opened(path: Path, member: str | None) -> Iterator[tuple[Any, int]]:
    """A stream of a file, or of one in a zip, and how many bytes it has at most."""
    if member is None:
        with open(path, "rb") as raw:
            yield raw, path.stat().st_size
        return
    with zipfile.ZipFile(path) as archive, archive.open(member) as inner:
        info = archive.getinfo(member)
        yield inner, min(info.file_size, info.compress_size * RATIO)


def read_checked(stream: io.BufferedIOBase, shape: tuple[int, ...], most: int) -> Any:
    """The array, once the header says `shape` and the file (at most `most` bytes) can hold it; ValueError says why not."""
    start = stream.read(4)
    if start[:3] != bytes((0, 0, BYTES)) or len(start) < 4:
        raise ValueError(f"is no IDX file of bytes: it begins with {start.hex(' ') or 'nothing'}")
    if start[3] != len(shape):
        raise ValueError(f"says that it has {start[3]} axes")
    header = stream.read(4 * len(shape))
    if len(header) < 4 * len(shape):
        raise ValueError("ends within its header")
    sizes = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(0, len(header), 4))
    if any(want not in (size, ANY_SIZE) for want, size in zip(shape, sizes)) or not all(sizes):
        raise ValueError(f"says that it holds {Shape(sizes)} bytes")
    if 4 + len(header) + prod(sizes) > most:
        raise ValueError("is too short for what its header says")
    array = np.empty(sizes, np.uint8)
    fill(stream, array.reshape(-1))
    if stream.read(1):
        raise ValueError("goes on after the last byte that its header promises")
    return array


def fill(stream: Any, flat: Any) -> None:
    """Reads bytes until a flat array of them is full; ValueError where the stream ends before."""
    view, at = memoryview(flat), 0
    while at < len(view):
        count = stream.readinto(view[at : at + CHUNK])
        if not count:
            raise ValueError(f"ends after {at:,} of {len(view):,} bytes")
        at += count
