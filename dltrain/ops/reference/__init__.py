"""The definition of every op: plain NumPy, any float type, any strides.  The other back ends are held against it."""

from dltrain.ops.reference import convolution, dense, elementwise, fused, loss, pooling, random, shape, softmax, update

__all__ = ["convolution", "dense", "elementwise", "fused", "loss", "pooling", "random", "shape", "softmax", "update"]
