"""CUDA C to machine code by NVRTC, kept on disk: no device is needed, so tests compile for every architecture."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from dltrain.errors import ConfigError
from dltrain.ops.cache import folder, write

FOLDER = "cuda"
FLAGS = ("--std=c++17", "-default-device", "--extra-device-vectorization", "--fmad=true")
MISSING = "the CUDA compiler NVRTC is not installed: pip install 'dltrain[cuda13]' (or cuda12, by your driver)"


@cache
def nvrtc() -> ctypes.CDLL:
    """The library: of a wheel (nvidia-cuda-nvrtc), else of the system; ConfigError where there is none."""
    for found in candidates():
        try:
            for builtins in Path(found).parent.glob("libnvrtc-builtins.so*") if "/" in found else ():
                ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)  # NVRTC asks for it by its bare name
            return ctypes.CDLL(found)
        except OSError:
            continue
    raise ConfigError(MISSING)


def candidates() -> list[str]:
    spec = importlib.util.find_spec("nvidia")
    places = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    wheels = sorted((str(path) for place in places for path in place.glob("*/lib/libnvrtc.so*")), reverse=True)
    return [*wheels, "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"]


def is_there() -> bool:
    try:
        nvrtc()
    except ConfigError:
        return False
    return True


def version() -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


@cache
def known() -> tuple[int, ...]:
    """The compute capabilities that this NVRTC makes machine code for, such as 90."""
    count = ctypes.c_int()
    checked(nvrtc().nvrtcGetNumSupportedArchs(ctypes.byref(count)), "tell what it knows")
    found = (ctypes.c_int * count.value)()
    checked(nvrtc().nvrtcGetSupportedArchs(found), "tell what it knows")
    return tuple(found)


def target(major: int, minor: int) -> str:
    """What a device runs: sm_NN, its own or an older one of its kind; compute_NN, which the driver compiles, of another kind."""
    older = [each for each in known() if each <= 10 * major + minor]
    if not older:
        raise ConfigError(f"NVRTC {version()[0]} makes nothing for compute capability {major}.{minor}: install an older one")
    return f"{'sm' if max(older) // 10 == major else 'compute'}_{max(older)}"


def compiled(text: str, arch: str) -> bytes:
    """The cubin of a text for an architecture such as sm_90 (PTX for compute_90); made once, then read from the cache folder."""
    digest = hashlib.sha256(" ".join((text, arch, str(version()), *FLAGS)).encode()).hexdigest()[:20]
    path = folder(FOLDER) / f"{digest}.{arch}.cubin"
    if path.is_file():
        return path.read_bytes()
    made = build(text, arch)
    write(path, made)
    return made


def build(text: str, arch: str) -> bytes:
    """Compiles now.  A kernel that does not compile is our bug: RuntimeError with the compiler's words."""
    library, program = nvrtc(), ctypes.c_void_p()
    checked(library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"dltrain.cu", 0, None, None), "create a program")
    try:
        options = [option.encode() for option in (f"-arch={arch}", *FLAGS)]
        status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        if status:
            raise RuntimeError(f"a kernel does not compile for {arch}:\n{words(library, program)[:4000]}")
        kind = "PTX" if arch.startswith("compute") else "CUBIN"
        return taken(getattr(library, f"nvrtcGet{kind}Size"), getattr(library, f"nvrtcGet{kind}"), program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def taken(sizes: Any, get: Any, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    checked(sizes(program, ctypes.byref(size)), "tell a size")
    buffer = ctypes.create_string_buffer(size.value)
    checked(get(program, buffer), "give what it made")
    return buffer.raw


def words(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    return taken(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program).decode(errors="replace")


def checked(status: int, what: str) -> None:
    if status:
        raise RuntimeError(f"NVRTC cannot {what} (status {status})")
