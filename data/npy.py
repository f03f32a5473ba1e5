"""NumPy's .npy and .npz files, opened with the suspicion that files from outside deserve: no pickles, no size on trust."""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data.idx import RATIO, fill
from dltrain.errors import DataError

# what foreign files make their readers raise
DAMAGE = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, OverflowError,
          MemoryError, SyntaxError, tokenize.TokenError, TypeError, KeyError)  # fmt: skip
METHODS = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: RATIO}  # and how many bytes each can make of one
LONGEST = 1000  # characters of a header; that of a plain array has about 100


@dataclass(frozen=True)
class Header:
    """What an .npy file says of its array, once it is known to be a plain one of numbers."""

    shape: tuple[int, ...]
    column_major: bool
    dtype: np.dtype[Any]

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize


def read_header(stream: Any, subject: str = "") -> Header:
    """The header at the start of a stream; ValueError where the array is not one of numbers."""
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):  # the later ones are for structures, and have headers without a bound
            raise ValueError(f"format version {version[0]}.{version[1]}")
        header = Header(*np.lib.format.read_array_header_1_0(stream, max_header_size=LONGEST))
    except DAMAGE as error:
        words = str(error).partition("\n")[0][:80]
        raise ValueError(f"{subject}has no header of a plain .npy file ({words})") from None
    if header.dtype.kind not in "biuf":
        raise ValueError(f"{subject}holds elements of type {header.dtype}, not numbers")
    if min(header.shape, default=1) < 0:
        raise ValueError(f"{subject}has an axis of negative size")
    return header


def map_npy(path: Path) -> Any:
    """The array of an .npy file, left on the disk: what is read of it is loaded when it is read."""
    way_out = "expected an array of numbers as np.save writes it"
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file; {way_out}")
    try:
        with open(path, "rb") as file:
            header = read_header(file)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
        if size != start + header.nbytes:
            raise ValueError(f"has {size:,} bytes where its header promises {start + header.nbytes:,}")
        if header.count == 0:
            return np.empty(header.shape, header.dtype)
        order: Any = "F" if header.column_major else "C"
        return np.asarray(np.memmap(path, header.dtype, "r", start, header.shape, order))
    except DAMAGE as error:
        raise DataError(f"{path}: {error}; {way_out}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from None


def load_npz(path: Path) -> dict[str, Any]:
    """The arrays of an .npz archive by name, in its order, loaded into memory."""
    way_out = "expected arrays of numbers as np.savez writes them"
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file; {way_out}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            admit(members, os.path.getsize(path))
            return {member.filename.removesuffix(".npy"): load_member(archive, member) for member in members}
    except DAMAGE as error:
        raise DataError(f"{path}: {error}; {way_out}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); make the file readable") from None


def admit(members: list[zipfile.ZipInfo], size: int) -> None:
    """ValueError where the table of contents promises what the archive cannot hold, or the memory cannot."""
    for member in members:
        name = member.filename
        encrypted = member.flag_bits & 1
        if not name.endswith(".npy") or encrypted or member.compress_type not in METHODS:
            raise ValueError(f"its member '{name}' is no plain .npy file")
        if member.file_size > member.compress_size * METHODS[member.compress_type]:
            raise ValueError(f"its member '{name}' is too short for what it promises")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its members overlap")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError("two of its members have the same name")
    needed, memory = sum(member.file_size for member in members), installed()
    if needed > memory:
        raise ValueError(f"needs {needed / 2**30:,.1f} GiB of memory where this machine has {memory / 2**30:,.1f}; "
                         "save each array with np.save and name them under files, which stay on the disk")  # fmt: skip


def installed() -> int:
    """The bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def load_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    """One array; what its header promises is held against the size of the member before there is memory for it."""
    with archive.open(member) as stream:
        start = io.BytesIO(stream.read(min(member.file_size, 1 << 16)))
        subject = f"its member '{member.filename}' "
        header = read_header(start, subject)
        if start.tell() + header.nbytes != member.file_size:
            raise ValueError(f"{subject}has another size than its header promises")
        array, begun = np.empty(header.count, header.dtype), start.read()
        flat = array.view(np.uint8)
        flat[: len(begun)] = np.frombuffer(begun, np.uint8)
        fill(stream, flat[len(begun) :])
        stream.read(1)  # the end, where the checksum is compared
    return np.ascontiguousarray(array.reshape(header.shape[::-1]).T) if header.column_major else array.reshape(header.shape)
