"""WAV files: what is read of each kind, by hand, and each way in which a file can lie."""

from __future__ import annotations

import os
import re
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.data import riff
from dltrain.data.riff import Sound, resampled
from dltrain.errors import DataError

EXPECTED = "; expected a WAV file of 8, 16, 24 or 32 bits (whole numbers) or 32 or 64 (floats)"


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def format_of(code: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, block: int | None = None) -> bytes:
    block = channels * bits // 8 if block is None else block
    return struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)


def wav(sound: bytes, *before: bytes, **format_: int) -> bytes:
    body = b"".join([b"WAVE", *before, chunk(b"fmt ", format_of(**format_)), chunk(b"data", sound)])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(path: Path, *window: int) -> Any:
    with Sound(path) as sound:
        return sound.read(*window)


def refuses(path: Path, message: str) -> None:
    with pytest.raises(DataError, match="^" + re.escape(f"{path}: {message}")):
        read(path)


@pytest.mark.parametrize(("sound", "format_", "expected"), [
    (bytes([0, 128, 192, 255]), {"bits": 8}, [-1, 0, 0.5, 127 / 128]),
    (struct.pack("<4h", -32768, 0, 16384, 32767), {"bits": 16}, [-1, 0, 0.5, 32767 / 32768]),
    (b"\x00\x00\x80" b"\x00\x00\x00" b"\x00\x00\x40" b"\xff\xff\xff", {"bits": 24}, [-1, 0, 0.5, -(2.0**-23)]),
    (struct.pack("<3i", -(2**31), 0, 2**30), {"bits": 32}, [-1, 0, 0.5]),
    (struct.pack("<3f", -1, 0.25, 1.5), {"code": 3, "bits": 32}, [-1, 0.25, 1.5]),
    (struct.pack("<2d", -1, 0.25), {"code": 3, "bits": 64}, [-1, 0.25]),
])  # fmt: skip
def test_every_kind_by_hand(tmp_path: Path, sound: bytes, format_: dict[str, int], expected: list[float]) -> None:
    x = read(put(tmp_path / "a.wav", wav(sound, **format_)))
    assert x.dtype == np.float32 and x.tolist() == expected


def test_channels_are_averaged(tmp_path: Path) -> None:
    x = read(put(tmp_path / "a.wav", wav(struct.pack("<6h", 16384, 0, -16384, -16384, 0, 8192), channels=2)))
    assert x.tolist() == [0.25, -0.5, 0.125]


def test_from_any_place_on(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", wav(struct.pack("<4h", 0, 8192, 16384, -8192)))
    with Sound(path) as sound:
        assert (sound.rate, sound.channels, sound.frames) == (8000, 1, 4)
        assert sound.read(1, 2).tolist() == [0.25, 0.5] and sound.read(3).tolist() == [-0.25]


def test_other_chunks_are_passed_over(tmp_path: Path) -> None:
    content = wav(struct.pack("<h", 16384), chunk(b"LIST", b"odd"), chunk(b"junk", b""))
    assert read(put(tmp_path / "a.wav", content + chunk(b"id3 ", b"behind"))).tolist() == [0.5]


def test_a_format_under_its_long_name(tmp_path: Path) -> None:
    def extended(code: int, rest: bytes = riff.REST) -> bytes:
        long = format_of(0xFFFE) + struct.pack("<HHIH", 22, 16, 0, code) + rest
        body = b"WAVE" + chunk(b"fmt ", long) + chunk(b"data", struct.pack("<h", -16384))
        return b"RIFF" + struct.pack("<I", len(body)) + body

    assert read(put(tmp_path / "a.wav", extended(1))).tolist() == [-0.5]
    refuses(put(tmp_path / "b.wav", extended(2)), "has samples of format 2 with 16 bits" + EXPECTED)
    refuses(put(tmp_path / "c.wav", extended(1, bytes(14))), "has a format of an unknown name" + EXPECTED)


@given(frames=some.lists(some.integers(-32768, 32767), min_size=1, max_size=30), rate=some.integers(1, 96000))
def test_what_the_standard_library_writes(tmp_path_factory: pytest.TempPathFactory, frames: list[int], rate: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(frames), "NONE", ""))
        file.writeframes(struct.pack(f"<{len(frames)}h", *frames))
    assert (read(path) * 32768).tolist() == frames


GOOD = wav(struct.pack("<4h", 1, 2, 3, 4))


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is no WAV file: it begins with nothing"),
    (b"OggS and more of it", "is no WAV file: it begins with 4f 67 67 53"),
    (b"RIFF\0\0\0\0AVI LIST", "is no WAV file: it begins with 52 49 46 46 00 00 00 00 41 56 49 20"),
    (GOOD[:12], "ends before its format"),
    (GOOD[:30], "ends within its format"),
    (GOOD[:38], "ends before its sound"),
    (GOOD[:-1], "is cut short: it promises 8 bytes of sound and has 7"),
    (wav(b""), "holds no sound"),
    (wav(b"abcd", code=2, bits=4), "has samples of format 2 with 4 bits"),
    (wav(b"abcd", bits=12), "has samples of format 1 with 12 bits"),
    (wav(b"abcd", channels=0), "says 0 channels, 8000 samples a second and 0 bytes a frame"),
    (wav(b"abcd", rate=0), "says 1 channels, 0 samples a second and 2 bytes a frame"),
    (wav(b"abcd", block=3), "says 1 channels, 8000 samples a second and 3 bytes a frame"),
    (b"RIFF\0\0\0\0WAVE" + chunk(b"data", b"abcd"), "has no format before its sound"),
    (wav(b"abcd", *[chunk(b"junk", b"")] * 1001), "has more than 1000 chunks before its sound"),
    (GOOD.replace(b"data\x08\0\0\0", b"data\xff\xff\xff\xff"), "is cut short: it promises 4,294,967,295 bytes of sound and has 8"),
])  # fmt: skip
def test_foreign_and_lying_files(tmp_path: Path, content: bytes, words: str) -> None:
    refuses(put(tmp_path / "a.wav", content), words)


@given(content=some.binary(max_size=80), keep=some.integers(0, len(GOOD)), place=some.integers(0, len(GOOD) - 1))
def test_damage_is_never_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes, keep: int, place: int) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    for some_content in (content, GOOD[:keep] + content, GOOD[:place] + content[:1] + GOOD[place + 1 :]):
        path.write_bytes(some_content)
        try:
            assert np.isfinite(read(path)).all()
        except DataError as error:
            assert str(error).startswith(str(path))


def test_numbers_that_are_none(tmp_path: Path) -> None:
    for content in (
        wav(struct.pack("<2f", 0, float("nan")), code=3, bits=32),
        wav(struct.pack("<2d", 0, 1e300), code=3, bits=64),
        wav(struct.pack("<2f", 3e38, 3e38), code=3, bits=32, channels=2),
    ):
        refuses(put(tmp_path / "a.wav", content), "holds samples that are no numbers (NaN or infinite); mend or remove the file")


def test_no_file_and_too_much_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(tmp_path / "none.wav", "there is no such file" + EXPECTED)
    os.mkfifo(tmp_path / "pipe.wav")  # would wait for a writer for ever
    refuses(tmp_path / "pipe.wav", "there is no such file")
    monkeypatch.setattr(riff, "MOST", 3)
    refuses(put(tmp_path / "a.wav", GOOD), "has 4 samples, too many at once; set length, or cut the file")


def test_resampling_by_hand() -> None:
    x = np.array([0, 1, 3], np.float32)
    assert resampled(x, 8000, 8000) is x
    assert resampled(x, 4000, 8000).tolist() == [0, 0.5, 1, 2, 3, 3]  # behind the last sample, the last one
    assert resampled(x, 8000, 4000).tolist() == [0, 3]
    assert resampled(x[:1], 8000, 1000).tolist() == [0]
