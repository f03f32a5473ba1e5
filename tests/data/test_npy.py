"""NumPy's files: what is read, and that a file that lies or is damaged costs a message and nothing else."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.data import npy
from dltrain.data.npy import load_npz, map_npy
from dltrain.errors import DataError

X = np.arange(12, dtype=np.float32).reshape(3, 4)
TYPES = ["?", "i1", "u1", "<i2", ">i4", "<i8", "<f2", ">f4", "<f8"]


def npy_bytes(array: Any, **header: Any) -> bytes:
    """An .npy file, with parts of its header replaced by lies."""
    file = io.BytesIO()
    array = np.asarray(array)
    true = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, {**true, **header})
    return file.getvalue() + bytes(array.tobytes())


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refuses(load: Callable[[Path], Any], path: Path, words: str) -> None:
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: ") + ".*" + re.escape(words)):
        load(path)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_what_numpy_writes(tmp_path: Path, dtype: str, order: Any) -> None:
    x = np.asarray(X.astype(dtype), order=order)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "plain.npz", x=x, y=x[0])
    np.savez_compressed(tmp_path / "packed.npz", x=x, y=x[0])
    mapped = map_npy(tmp_path / "x.npy")
    assert np.array_equal(mapped, x) and mapped.dtype == x.dtype and not mapped.flags.writeable
    for name in ("plain.npz", "packed.npz"):
        loaded = load_npz(tmp_path / name)
        assert list(loaded) == ["x", "y"]
        assert np.array_equal(loaded["x"], x) and loaded["x"].dtype == x.dtype and loaded["x"].flags.c_contiguous
        assert np.array_equal(loaded["y"], x[0])


def test_an_array_larger_than_a_chunk(tmp_path: Path) -> None:
    x = np.arange(1_000_000)
    np.savez_compressed(tmp_path / "x.npz", x=x)
    assert np.array_equal(load_npz(tmp_path / "x.npz")["x"], x)


def test_mapped_arrays_stay_on_the_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1000, 10_000), np.float32))
    tracemalloc.start()
    assert map_npy(tmp_path / "x.npy")[[3, 5]].shape == (2, 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


LIES = [
    (npy_bytes(X, shape=(3, 5)), "promises"),
    (npy_bytes(X, shape=(2, 4)), "promises"),
    (npy_bytes(X, shape=(2**62, 2**62)), "promises"),
    (npy_bytes(X, shape=(-3, -4)), "has an axis of negative size"),
    (npy_bytes(X, descr="|O"), "holds elements of type object, not numbers"),
    (npy_bytes(X, descr="<U2"), "holds elements of type <U2, not numbers"),
    (npy_bytes(X, descr="<c8"), "holds elements of type complex64, not numbers"),
    (npy_bytes(X, descr=[("a", "<f4")]), "not numbers"),
    (npy_bytes(X, descr="nonsense"), "descr is not a valid dtype descriptor: 'nonsense')"),
    (b"", "EOF"),
    (b"\x93NUMPY", "EOF"),
    (b"PK\x03\x04 nothing like it", "magic string is not correct"),
    (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), "has no header of a plain .npy file (format version 2.0)"),
    (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000,
        "has no header of a plain .npy file (Header info length (60000) is large",
    ),
    (b"\x93NUMPY\x01\x00" + struct.pack("<H", 999) + b"(" * 999, "has no header of a plain .npy file"),
    (b"\x93NUMPY\x01\x00" + struct.pack("<H", 999) + b"-" * 998 + b"1", "has no header of a plain .npy file"),
    (b"\x93NUMPY\x01\x00" + struct.pack("<H", 6) + b"{1:2} ", "Header does not contain the correct keys"),
]


@pytest.mark.parametrize(("content", "words"), LIES)
def test_lying_arrays(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    refuses(map_npy, tmp_path / "x.npy", words)
    refuses(load_npz, npz(tmp_path / "x.npz", {"x.npy": content}), words)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}]), allow_pickle=True)
    refuses(
        map_npy,
        tmp_path / "x.npy",
        "holds elements of type object, not numbers; expected an array of numbers as np.save writes it",
    )


def test_no_such_file(tmp_path: Path) -> None:
    refuses(map_npy, tmp_path / "x.npy", "there is no such file; expected an array of numbers as np.save writes it")
    refuses(load_npz, tmp_path / "x.npz", "there is no such file; expected arrays of numbers as np.savez writes them")


def test_foreign_archives(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"<html>")
    refuses(load_npz, tmp_path / "x.npz", "File is not a zip file; expected arrays of numbers as np.savez writes them")
    refuses(load_npz, npz(tmp_path / "a.npz", {"notes.txt": b"hello"}), "its member 'notes.txt' is no plain .npy file")
    refuses(
        load_npz, npz(tmp_path / "b.npz", {"x.npy": npy_bytes(X)}, zipfile.ZIP_LZMA), "its member 'x.npy' is no plain .npy file"
    )
    twice = npz(tmp_path / "c.npz", {"x.npy": npy_bytes(X), "y.npy": npy_bytes(X)})
    twice.write_bytes(twice.read_bytes().replace(b"y.npy", b"x.npy"))
    refuses(load_npz, twice, "two of its members have the same name")


def test_a_table_of_contents_that_lies(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", {"x.npy": npy_bytes(X)})
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 2**31)  # the size that the member would unpack to
    path.write_bytes(content)
    refuses(load_npz, path, "its member 'x.npy' is too short for what it promises")
    content[entry + 20 : entry + 24] = struct.pack("<I", 2**31)  # and the size that it has
    path.write_bytes(content)
    refuses(load_npz, path, "its members overlap")


@pytest.mark.parametrize("size", [10, 100_000])  # read together with the header, and after it
def test_a_changed_byte_is_noticed(tmp_path: Path, size: int) -> None:
    path = npz(tmp_path / "x.npz", {"x.npy": npy_bytes(np.zeros(size))})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") - 1] ^= 1
    path.write_bytes(content)
    refuses(load_npz, path, "Bad CRC-32 for file 'x.npy'")


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    content = npy_bytes(X) + bytes(50_000_000)
    path = npz(tmp_path / "x.npz", {"x.npy": content}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    refuses(load_npz, path, "its member 'x.npy' has another size than its header promises")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    monkeypatch.setattr(npy, "installed", lambda: 100)
    refuses(load_npz, tmp_path / "x.npz", "save each array with np.save and name them under files, which stay on the disk")


def test_the_memory_of_this_machine() -> None:
    assert npy.installed() > 2**26


@settings(max_examples=300, deadline=None)
@given(
    places=some.lists(some.tuples(some.integers(0, 10_000), some.integers(0, 255)), min_size=1, max_size=4),
    packed=some.booleans(),
)
def test_damage_is_a_data_error_or_no_harm(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]], packed: bool
) -> None:
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, x=X, label=np.arange(3))
    content = bytearray(file.getvalue())
    for place, byte in places:
        content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content)
    try:
        loaded = load_npz(path)
    except DataError:
        return
    assert all(array.size <= 12 for array in loaded.values())


@settings(max_examples=300, deadline=None)
@given(places=some.lists(some.tuples(some.integers(0, 175), some.integers(0, 255)), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")
def test_a_damaged_array_is_a_data_error_or_no_harm(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]
) -> None:
    content = bytearray(npy_bytes(X))
    for place, byte in places:
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(content)
    try:
        assert map_npy(path).nbytes <= 48
    except DataError:
        return
