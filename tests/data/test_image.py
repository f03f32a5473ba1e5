"""One picture from a file: every kind of pixel, every turn of a camera, and each way in which a file can lie."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from dltrain.data.image import read_image, read_labels, read_size
from dltrain.errors import DataError

RNG = np.random.default_rng(1)
COLORS = RNG.integers(0, 256, (4, 6, 3), np.uint8)
GREY = RNG.integers(0, 256, (4, 6), np.uint8)


def save(path: Path, array: Any, **how: Any) -> Path:
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **how)
    return path


def refuses(path: Path, words: str, read: Callable[..., Any] = read_image, **how: Any) -> None:
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: {words}")):
        read(path, **how)


# --- what is read ---
@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.ppm", "a.tif", "a.webp", "a.gif", "misnamed.jpg"])
def test_every_format_gives_the_bytes_that_were_saved(tmp_path: Path, name: str) -> None:
    how = {"webp": {"lossless": True}, "jpg": {"format": "PNG"}}.get(name.rpartition(".")[2], {})
    few = COLORS if not name.endswith("gif") else COLORS // 200 * 200  # a palette has no more than 256 colours
    found = read_image(save(tmp_path / name, few, **how))
    assert found.dtype == np.uint8 and np.array_equal(found, few.transpose(2, 0, 1))


def test_a_jpeg_is_near(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    found = read_image(save(tmp_path / "a.jpg", np.stack([smooth, smooth + 20, smooth + 40], -1), quality=98))
    assert np.abs(found.astype(int) - np.stack([smooth, smooth + 20, smooth + 40]).astype(int)).max() <= 3


def test_grey_of_colours(tmp_path: Path) -> None:
    found = read_image(
        save(tmp_path / "a.png", np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)), "grey"
    )
    assert found.tolist() == [[[76, 150, 29, 18]]]  # 0.299 R + 0.587 G + 0.114 B


def test_colours_of_grey(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", GREY)
    assert np.array_equal(read_image(path), np.stack([GREY] * 3)) and np.array_equal(read_image(path, "grey"), GREY[None])


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.putdata([2, 0, 1])
    for transparency in (0, bytes([0, 128])):
        found = read_image(save(tmp_path / "a.png", picture, transparency=transparency))
        assert found[:, 0].T.tolist() == [[70, 80, 90], [10, 20, 30], [40, 50, 60]]


def test_transparency_is_left_out(tmp_path: Path) -> None:
    alpha = np.concatenate([COLORS, np.full((4, 6, 1), 7, np.uint8)], -1)
    assert np.array_equal(read_image(save(tmp_path / "a.png", alpha)), COLORS.transpose(2, 0, 1))
    grey = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (6, 4), 3)])
    assert np.array_equal(read_image(save(tmp_path / "b.png", grey), "grey"), GREY[None])


def test_cmyk(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow: red
    assert np.abs(read_image(save(tmp_path / "a.jpg", ink))[:, 8, 8] - np.array([255, 0, 0])).max() <= 3
    assert read_image(tmp_path / "a.jpg", "grey").shape == (1, 16, 16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_of_grey(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16))
    assert read_image(path, "grey").tolist() == [[[0, 0, 1, 1, 128, 255]]]
    assert read_image(path).shape == (3, 1, 6)


def test_black_and_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    assert read_image(path, "grey").tolist() == [[[255, 0]]] and read_labels(path).tolist() == [[1, 0]]


def test_of_several_frames_the_first(tmp_path: Path) -> None:
    first, second = Image.new("L", (3, 2), 7), Image.new("L", (3, 2), 90)
    for name in ("a.gif", "a.tif"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert (read_image(tmp_path / name, "grey") == 7).all()


# --- the turn of the camera: the corner of the picture that is seen at the top left, and what is seen to its right ---
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
@pytest.mark.parametrize(("turn", "seen"), [
    (1, [[1, 2, 3], [4, 5, 6]]), (2, [[3, 2, 1], [6, 5, 4]]), (3, [[6, 5, 4], [3, 2, 1]]), (4, [[4, 5, 6], [1, 2, 3]]),
    (5, [[1, 4], [2, 5], [3, 6]]), (6, [[4, 1], [5, 2], [6, 3]]), (7, [[6, 3], [5, 2], [4, 1]]), (8, [[3, 6], [2, 5], [1, 4]]),
    (99, [[1, 2, 3], [4, 5, 6]]),
])  # fmt: skip
def test_orientation(tmp_path: Path, name: str, turn: int, seen: list[list[int]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = np.kron(np.array([[1, 2, 3], [4, 5, 6]], np.uint8) * 30, np.ones((8, 8), np.uint8))
    how = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 100}}.get(name, {})
    path = save(tmp_path / name, stored, exif=exif, **how)
    found = read_image(path, "grey")[0]
    assert np.round(found[4::8, 4::8] / 30).tolist() == seen
    assert read_size(path) == found.shape


# --- decoding at a reduced scale ---
@pytest.mark.parametrize(("least", "size"), [
    (None, (200, 300)), ((100, 150), (100, 150)), ((101, 1), (200, 300)), ((1, 151), (200, 300)), ((40, 60), (50, 75)),
    ((25, 37), (25, 38)), ((1, 1), (25, 38)), ((500, 10), (200, 300)), ((10, 500), (200, 300)),
])  # fmt: skip
def test_a_jpeg_at_a_smaller_scale(tmp_path: Path, least: tuple[int, int] | None, size: tuple[int, int]) -> None:
    path = save(tmp_path / "a.jpg", np.full((200, 300, 3), 77, np.uint8))
    found = read_image(path, least=least)
    assert found.shape == (3, *size) and np.abs(found.astype(int) - 77).max() <= 2


@given(height=some.integers(1, 70), width=some.integers(1, 70), rows=some.integers(1, 70), columns=some.integers(1, 70),
       turn=some.sampled_from([1, 6]), name=some.sampled_from(["a.jpg", "a.png"]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_never_smaller_than_is_needed(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, rows: int, columns: int, turn: int, name: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path_factory.getbasetemp() / name, np.full((height, width), 9, np.uint8), exif=exif)
    whole, found = read_image(path).shape, read_image(path, least=(rows, columns)).shape
    assert found[1] >= min(rows, whole[1]) and found[2] >= min(columns, whole[2])
    assert whole[1:] == read_size(path) == ((height, width) if turn == 1 else (width, height))


# --- labels ---
def test_labels_are_what_is_stored(tmp_path: Path) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    picture.putdata([2, 0, 1])
    assert read_labels(save(tmp_path / "p.png", picture)).tolist() == [[2, 0, 1]]
    assert np.array_equal(read_labels(save(tmp_path / "l.png", GREY)), GREY)
    wide = np.array([[0, 300, 65535]], np.uint16)
    assert read_labels(save(tmp_path / "w.png", wide)).tolist() == [[0, 300, 65535]]
    refuses(save(tmp_path / "c.png", COLORS), "is no label image but of mode RGB; labels are grey or palette images", read_labels)


# --- files that lie ---
def png(width: int, height: int) -> bytes:
    """A grey PNG whose header promises a size, and that holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(file, kind)
    return file.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")
UNKNOWN = "is no picture in JPEG, PNG, BMP, GIF, PPM, TIFF or WEBP; mend the file, leave it out, or say on_error: skip"


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty; mend the file, leave it out, or say on_error: skip"),
    (b"hello", UNKNOWN),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UNKNOWN),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UNKNOWN),  # Pillow would run Ghostscript
    (JPEG[:20], UNKNOWN),
    (JPEG[:-400], "is damaged or cut short (image file is truncated"),
    (PNG[:-400], "is damaged or cut short (image file is truncated"),
    (PNG[:400] + b"!" + PNG[401:], "is damaged or cut short ("),
    (PNG[:40], UNKNOWN),
    (png(50_000, 50_000), "says that it has more than 64,000,000 pixels; leave the file out, or raise max_pixels"),
    (png(8_001, 8_000), "says that it has more than 64,000,000 pixels; leave"),
    (png(10_000, 10_000), "says that it has more than 64,000,000 pixels; leave"),  # Pillow would warn
    (b"\xff\xd8\xff" + b"\xff" * 500_000, "is damaged or cut short (it has too many parts); mend"),
    (b"P5 " + b"9" * 30 + b" 3 255 ", "is damaged or cut short ("),
])  # fmt: skip
@pytest.mark.parametrize("read", [read_image, read_labels])
def test_files_that_lie(tmp_path: Path, content: bytes, words: str, read: Callable[..., Any]) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    tracemalloc.start()
    refuses(tmp_path / "a.jpg", words, read)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_bound_of_ones_own(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLORS)
    refuses(path, "says that it has more than 23 pixels; leave the file out, or raise max_pixels", most=23)
    assert read_image(path, most=24).shape == (3, 4, 6)


def test_a_sparse_file_of_ten_gigabytes(tmp_path: Path) -> None:
    with open(tmp_path / "a.jpg", "wb") as file:
        file.write(JPEG[:200])
        file.truncate(10 << 30)
    refuses(tmp_path / "a.jpg", "has 10,737,418,240 bytes, more than a picture may have; mend the file")


def test_fractions_and_wide_numbers_are_no_pixels(tmp_path: Path) -> None:
    refuses(save(tmp_path / "f.tif", np.ones((2, 2), np.float32)), "has fractions for pixels; mend")
    refuses(save(tmp_path / "i.tif", np.full((2, 2), 70_000, np.int32)), "has more than 16 bits a channel; mend")
    refuses(tmp_path / "i.tif", "has more than 16 bits a channel; mend", read_labels)


def test_what_is_no_file(tmp_path: Path) -> None:
    refuses(tmp_path / "a.png", "there is no such file; mend the file, leave it out")
    refuses(tmp_path, "there is no such file")
    os.mkfifo(tmp_path / "fifo.png")
    refuses(tmp_path / "fifo.png", "there is no such file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    save(tmp_path / "a.png", COLORS).chmod(stat.S_IWUSR)
    refuses(tmp_path / "a.png", "cannot be read (Permission denied); mend")


def test_a_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.png", COLORS)
    monkeypatch.setattr("dltrain.data.image.io.FileIO", refuse)
    refuses(path, "cannot be read (Permission denied); mend")


def test_pillow_stays_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.tif", COLORS, compression="tiff_lzw")
    good = bytearray(path.read_bytes())
    for at in range(0, len(good), 3):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read_image(path)
            except DataError:
                continue
    assert capfd.readouterr() == ("", "")


def test_a_picture_is_good_without_its_exif(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLORS, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert np.array_equal(read_image(path), COLORS.transpose(2, 0, 1))


@given(content=some.binary(max_size=300), kind=some.sampled_from(["PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG"]),
       at=some.integers(0, 400))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_a_picture_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str, at: int
) -> None:
    good = io.BytesIO()
    Image.fromarray(COLORS).save(good, kind)
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(good.getvalue()[:at] + content + good.getvalue()[at + len(content) :])
    for read in (read_image, read_labels, read_size):
        try:
            read(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ")


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(DataError, match=re.escape("pictures need Pillow, which is not installed: pip install 'dltrain[images]'")):
        read_image(tmp_path / "a.png")
