"""The CPU back end: Numba kernels and BLAS, worked by threads that each do their own samples."""

from dltrain.ops.cpu.backend import Cpu

__all__ = ["Cpu"]
