"""A device that is none: kernels compiled by the C++ compiler of this machine, run on its CPU.  For tests, not for speed."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.errors import ConfigError, OutOfMemory
from dltrain.ops.backend import available
from dltrain.ops.cache import folder, write
from dltrain.ops.cuda.driver import Replay
from dltrain.ops.cuda.texts import KERNELS, kernels_of

FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-x", "c++", "-ffp-contract=off", "-w")
CHECKS = "alignment,bounds,shift,integer-divide-by-zero,signed-integer-overflow,null"
FOLDER = "emulated"


class Emulator:
    """Memory is NumPy's, an address is an address of this process, a launch runs at once."""

    name, arch, processors = "emulated on the CPU", "", 4

    def __init__(self, backwards: bool = False) -> None:
        """`backwards`: the last thread and the last block of a kernel go first."""
        self.captured, self.backwards = 0, backwards  # how many graphs were made

    def alloc(self, size: int) -> tuple[int, object]:
        try:
            raw = np.zeros(size + 256, np.uint8)
        except MemoryError:
            raise OutOfMemory(f"{size / 2**30:.1f} GiB cannot be had; a smaller batch needs less") from None
        return raw.ctypes.data + -raw.ctypes.data % 256, raw

    def free_bytes(self) -> int:
        return available()

    def upload(self, address: int, host: Any) -> None:
        ctypes.memmove(address, host.ctypes.data, host.nbytes)

    def download(self, host: Any, address: int) -> None:
        ctypes.memmove(host.ctypes.data, address, host.nbytes)

    def copy(self, to: int, source: int, size: int) -> None:
        ctypes.memmove(to, source, size)

    def clear(self, address: int, size: int) -> None:
        ctypes.memset(address, 0, size)

    def pinned(self, size: int) -> Any:
        return np.empty(size, np.uint8)

    def send(self, address: int, host: Any, size: int) -> None:
        ctypes.memmove(address, host.ctypes.data, size)

    hand = send

    def flag(self) -> Any:
        return None

    def raise_flag(self, flag: Any) -> None: ...
    def wait_for(self, flag: Any) -> None: ...

    def function(self, text: str, name: str) -> Any:
        return getattr(library(text), f"launch_{name}")

    def launch(self, function: Any, grid: Sequence[int], block: Sequence[int], parameters: Any) -> None:
        function((ctypes.c_uint * 7)(*grid, *block, self.backwards), parameters)

    def capture(self, segments: Sequence[Sequence[Replay]]) -> Replay:
        """The last call of each segment comes first: nothing in it may have to wait for anything."""
        self.captured += 1
        order = [kernel for segment in segments for kernel in reversed(segment)]

        def replay() -> None:
            for kernel in order:
                kernel()

        return replay

    def synchronize(self) -> None: ...
    def close(self) -> None: ...


def flags() -> tuple[str, ...]:
    """With $DLTRAIN_EMULATE_CHECKED a kernel that reads across a border of its type, or counts wrongly, ends the process."""
    checked = bool(os.environ.get("DLTRAIN_EMULATE_CHECKED"))
    return (*FLAGS, f"-fsanitize={CHECKS}", "-fno-sanitize-recover=all") if checked else FLAGS


@cache
def library(text: str) -> ctypes.CDLL:
    """The shared library of a text, kept on disk by its digest."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise ConfigError("emulating a GPU needs a C++ compiler: install g++")
    head = (KERNELS / "emulator.h").read_text()
    exports = "".join(f"FOR_LAUNCH({kernel.name}, {'true' if kernel.meets else 'false'})\n" for kernel in kernels_of(text))
    whole = f"{head}\n{text}\n{exports}"
    digest = hashlib.sha256(" ".join((whole, compiler, *flags())).encode()).hexdigest()[:20]
    path = folder(FOLDER) / f"{digest}.so"
    if not path.is_file():
        path = write(path, built(compiler, whole))
    return ctypes.CDLL(str(path))


def built(compiler: str, text: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "kernel.cpp", Path(scratch) / "kernel.so"
        source.write_text(text)
        done = subprocess.run(
            [compiler, *flags(), str(source), "-o", str(made)], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
        )
        if done.returncode:
            raise RuntimeError(f"a kernel does not compile:\n{done.stderr[:4000]}")
        return made.read_bytes()
