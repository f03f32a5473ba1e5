"""IDX files: what is read, and each way in which a file can lie."""

from __future__ import annotations

import gzip
import os
import re
import stat
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from dltrain.data.idx import read_idx
from dltrain.errors import DataError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
EXPECTED = "; expected an IDX file of 2 x 3 x 4 bytes, plain or .gz; get the file again"


def refuses(path: Path, words: str, shape: tuple[int, ...] = (2, 3, 4)) -> None:
    with pytest.raises(DataError, match="^" + re.escape(str(path)) + ".*" + re.escape(words)):
        read_idx(path, shape)


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_plain_or_gzipped_whatever_the_name(tmp_path: Path, name: str, packed: bool) -> None:
    content = HEADER + IMAGES.tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(tmp_path / name, (2, 3, 4))
    assert np.array_equal(found, IMAGES) and found.dtype == np.uint8


def test_labels(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    assert read_idx(tmp_path / "labels", (3,)).tolist() == [7, 2, 1]


@given(array=arrays(np.uint8, some.lists(some.integers(1, 5), min_size=1, max_size=4).map(tuple)), packed=some.booleans())
def test_any_shape(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], packed: bool
) -> None:
    content = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert np.array_equal(read_idx(path, array.shape), array)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("content", "words"), [
    (b"", "is no IDX file of bytes: it begins with nothing"),
    (b"\x89PNG\r\n\x1a\n", "is no IDX file of bytes: it begins with 89 50 4e 47"),
    (b"<!DOCTYPE html>", "is no IDX file of bytes: it begins with 3c 21 44 4f"),
    (bytes([0, 0, 13, 3]) + HEADER[4:] + IMAGES.tobytes(), "is no IDX file of bytes: it begins with 00 00 0d 03"),
    (HEADER[:3], "is no IDX file of bytes: it begins with 00 00 08"),
    (bytes([0, 0, 8, 255]), "says that it has 255 axes"),
    (bytes([0, 0, 8, 1, 0, 0, 0, 24]) + IMAGES.tobytes(), "says that it has 1 axes"),
    (HEADER[:13], "ends within its header"),
    (HEADER[:7] + b"\x05" + HEADER[8:] + IMAGES.tobytes(), "says that it holds 5 x 3 x 4 bytes"),
    (HEADER + IMAGES.tobytes() + b"\0", "goes on after the last byte that its header promises"),
])  # fmt: skip
def test_foreign_and_lying_files(tmp_path: Path, content: bytes, words: str, packed: bool) -> None:
    path = tmp_path / "some-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    refuses(path, words + EXPECTED)


def test_a_plain_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(HEADER + IMAGES.tobytes()[:-1])
    refuses(path, "is too short for what its header says" + EXPECTED)


def test_gzipped_content_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "short.gz"
    path.write_bytes(gzip.compress(HEADER + IMAGES.tobytes()[:-4]))
    refuses(path, "ends after 20 of 24 bytes" + EXPECTED)


@pytest.mark.parametrize("keep", [5, 20, -9, -1])
def test_a_gz_cut_short(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(HEADER + IMAGES.tobytes())[:keep])
    refuses(path, "is damaged or cut short (")


@pytest.mark.parametrize("place", [12, -8, -3])
def test_a_damaged_gz(tmp_path: Path, place: int) -> None:
    content = bytearray(gzip.compress(HEADER + IMAGES.tobytes()))
    content[place] ^= 0xFF
    (tmp_path / "bad.gz").write_bytes(content)
    refuses(tmp_path / "bad.gz", EXPECTED)


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    whole, lie = tmp_path / "bomb.gz", tmp_path / "lie.gz"
    whole.write_bytes(gzip.compress(HEADER + bytes(50_000_000)))
    lie.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + b"\x7f\xff\xff\xff" * 3 + IMAGES.tobytes()))
    tracemalloc.start()
    refuses(whole, "goes on after the last byte")
    refuses(lie, "is too short for what its header says", (0x7FFFFFFF,) * 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_no_file_at_all(tmp_path: Path) -> None:
    refuses(tmp_path / "nowhere", "there is no such file" + EXPECTED)
    refuses(tmp_path, "there is no such file")
    os.mkfifo(tmp_path / "pipe")  # would wait for a writer for ever
    refuses(tmp_path / "pipe", "there is no such file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(HEADER)
    (tmp_path / "secret").chmod(stat.S_IWUSR)
    refuses(tmp_path / "secret", "cannot be read (Permission denied)")
