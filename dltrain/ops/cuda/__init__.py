"""The back end for NVIDIA GPUs: the plan's calls as kernels of our own, captured once as a graph and replayed."""

from dltrain.ops.cuda.backend import Cuda

__all__ = ["Cuda"]
