"""WAV files (RIFF): samples of sound, 8 to 32 bits, whole numbers or floats.  Hostile until checked; read from any place on."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dltrain.errors import DataError

KINDS = {(1, 8): "u1", (1, 16): "<i2", (1, 24): "u1", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}  # (format, bits)
EXTENSIBLE = 0xFFFE  # the format stands in the first bytes of a longer name, whose rest is
REST = bytes.fromhex("000000001000800000aa00389b71")
CHUNKS = 1000  # before the sound, at most
MOST = 1 << 27  # numbers of a sound that are read at once
EXPECTED = "expected a WAV file of 8, 16, 24 or 32 bits (whole numbers) or 32 or 64 (floats)"


class Sound:
    """An open WAV file.

    rate      samples a second         channels
    frames    how many samples each channel has
    read      some of them, -1 .. 1, the mean of the channels
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        if not os.path.isfile(path):
            raise DataError(f"{path}: there is no such file; {EXPECTED}")
        try:
            self.file = open(path, "rb")  # noqa: SIM115  closed by __exit__, or right below
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from None
        try:
            self.header()
        except ValueError as error:
            self.file.close()
            raise DataError(f"{path}: {error}; {EXPECTED}") from None
        except OSError as error:
            self.file.close()
            raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from None

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def header(self) -> None:
        """RIFF, size, WAVE; then chunks, each a name of 4 letters, a size, and so many bytes, an even number of them."""
        size, start = os.fstat(self.file.fileno()).st_size, self.file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise ValueError(f"is no WAV file: it begins with {start[:12].hex(' ') or 'nothing'}")
        known = False
        for _ in range(CHUNKS):
            head = self.file.read(8)
            if len(head) < 8:
                raise ValueError(f"ends before its {'sound' if known else 'format'}")
            name, length = head[:4], int.from_bytes(head[4:], "little")
            here = self.file.tell()
            if name == b"data":
                break
            if name == b"fmt ":
                self.format(self.file.read(min(length, 40)))
                known = True
            self.file.seek(here + length + length % 2)
        else:
            raise ValueError(f"has more than {CHUNKS} chunks before its sound")
        if not known:
            raise ValueError("has no format before its sound")
        if here + length > size:
            raise ValueError(f"is cut short: it promises {length:,} bytes of sound and has {size - here:,}")
        self.start, self.frames = here, length // self.block
        if self.frames == 0:
            raise ValueError("holds no sound")

    def format(self, chunk: bytes) -> None:
        """code, channels (2 bytes each), rate, bytes a second (4), bytes a frame, bits (2)"""
        if len(chunk) < 16:
            raise ValueError("ends within its format")
        code, self.channels, self.block, bits = (int.from_bytes(chunk[at : at + 2], "little") for at in (0, 2, 12, 14))
        self.rate = int.from_bytes(chunk[4:8], "little")
        if code == EXTENSIBLE:
            if len(chunk) < 40 or chunk[26:] != REST:
                raise ValueError("has a format of an unknown name")
            code = int.from_bytes(chunk[24:26], "little")
        self.kind = code, bits
        if self.kind not in KINDS:
            raise ValueError(f"has samples of format {code} with {bits} bits")
        if not 1 <= self.channels <= 256 or not 1 <= self.rate <= 10**7 or self.block != self.channels * bits // 8:
            raise ValueError(f"says {self.channels} channels, {self.rate} samples a second and {self.block} bytes a frame")

    def read(self, first: int = 0, count: int | None = None) -> Any:
        """(count) of its samples from `first` on: whole numbers over the largest there is."""
        count = self.frames - first if count is None else count
        if count * self.channels > MOST:
            raise DataError(f"{self.path}: has {self.frames:,} samples, too many at once; set length, or cut the file")
        try:
            raw = os.pread(self.file.fileno(), count * self.block, self.start + first * self.block)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); get the file again") from None
        if len(raw) < count * self.block:
            raise DataError(f"{self.path}: was cut short while it was read; get the file again")
        with np.errstate(over="ignore", invalid="ignore"):
            x = numbers(raw, *self.kind).reshape(count, self.channels)
            x = x[:, 0] if self.channels == 1 else x.mean(axis=1, dtype=np.float32)
        if not np.isfinite(x).all():
            raise DataError(f"{self.path}: holds samples that are no numbers (NaN or infinite); mend or remove the file")
        return x


def numbers(raw: bytes, code: int, bits: int) -> Any:
    """Samples as float32, -1 .. 1."""
    x = np.frombuffer(raw, KINDS[code, bits])
    if bits == 24:
        wide = np.zeros((len(x) // 3, 4), np.uint8)
        wide[:, 1:] = x.reshape(-1, 3)
        x, bits = wide.view("<i4")[:, 0], 32
    if bits == 8:
        return (x.astype(np.float32) - 128) / 128
    return x.astype(np.float32) if code == 3 else x.astype(np.float32) / np.float32(1 << (bits - 1))


def resampled(x: Any, old: int, new: int) -> Any:
    """y_i = x_lo + t (x_hi - x_lo),   p = i old / new, lo = floor p, t = p - lo;   no smoothing before a rate is lowered"""
    if old == new:
        return x
    count = max(1, ceil(len(x) * new / old))
    return np.interp(np.arange(count) * (old / new), np.arange(len(x)), x).astype(np.float32)
