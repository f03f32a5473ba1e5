"""Which devices there are, which can be used, and what stands in the way of the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from dltrain.errors import ConfigError, did_you_mean
from dltrain.ops.backend import Reference

DEVICES = ("auto", "cpu", "cuda", "reference")


@dataclass
class Device:
    name: str
    usable: bool
    about: str


def devices() -> list[Device]:
    """What `dltrain devices` prints."""
    return [
        Device("cpu", True, f"{cores()} cores; {', '.join(blas_words()) or 'no BLAS found'}"),
        *cuda_devices(),
        Device("reference", True, "plain NumPy, slow; the definition that the others are held against"),
    ]


def backend(device: str, threads: int = 0, precision: str = "fp32", graphs: bool = True) -> Reference:
    """The back end of a device name; ConfigError with the reason where it cannot be used.  strict: no Winograd."""
    if device.split(":")[0] not in DEVICES:
        raise ConfigError(f"--device {device}: there is no such device; {did_you_mean(device, DEVICES)}")
    if device == "auto":
        device = "cpu" if auto_is_cpu() else "cuda"
    if device.startswith("cuda"):
        return cuda(device, precision, graphs)
    if precision not in ("fp32", "strict"):
        raise ConfigError(f"engine.precision {precision} is one of GPUs; --device {device} has fp32 and strict")
    if device == "reference":
        return Reference()
    from dltrain.ops.cpu import Cpu

    return Cpu(threads or cores(), strict=precision == "strict")


def cuda_devices() -> list[Device]:
    """Each CUDA device, or one line that says why there is none."""
    from dltrain.ops.cuda import device

    why = "emulated on the CPU ($DLTRAIN_EMULATE)" if emulated() else device.reason()
    if why is not None:
        return [Device("cuda", emulated(), why)]
    return [Device(f"cuda:{number}", True, about) for number, about in enumerate(device.names())]


def auto_is_cpu() -> bool:
    """True where no CUDA device can be used."""
    from dltrain.ops.cuda import device

    return device.reason() is not None


def emulated() -> bool:
    """True where tests ask for a GPU that the CPU plays."""
    return bool(os.environ.get("DLTRAIN_EMULATE"))


def cuda(name: str, precision: str, graphs: bool) -> Reference:
    """cuda, or cuda:N"""
    from dltrain.ops.cuda import Cuda

    number = name.partition(":")[2] or "0"
    if not number.isdecimal():
        raise ConfigError(f"--device {name}: write cuda:0 for the first device, cuda:1 for the second")
    if emulated():
        from dltrain.ops.cuda.emulator import Emulator

        return Cuda(Emulator(), precision, graphs)
    from dltrain.ops.cuda.device import Device as Driver

    return Cuda(Driver(int(number)), precision, graphs)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> list[dict[str, Any]]:
    """The BLAS that NumPy uses: name, version, kernels.  (Others may be loaded too; they do none of the work.)"""
    import numpy  # noqa: F401  loads them
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    return [info for info in found if "numpy" in info.get("filepath", "")] or found


def blas_words() -> list[str]:
    return [
        f"{info['internal_api']} {info.get('version') or ''} with {info.get('architecture', 'unknown')} kernels"
        for info in blas()
    ]


def slow_kernels() -> str | None:
    """A word of warning where an environment variable forces slower BLAS kernels than the CPU has."""
    forced = os.environ.get("OPENBLAS_CORETYPE")
    if not forced:
        return None
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            wide = " avx512f " in file.read()
    except OSError:
        return None
    if wide and forced.lower() in ("haswell", "zen", "sandybridge", "nehalem", "prescott"):
        return (
            f"OPENBLAS_CORETYPE={forced} forces BLAS kernels without AVX-512, which this CPU has: about half the speed; unset it"
        )
    return None
