"""The catalogue: a layer a file, in Caffe's groups."""

# vision
from dltrain.layers import convolution, pooling

# common
from dltrain.layers import dropout, inner_product

# activations
from dltrain.layers import relu, sigmoid, tanh

# utility
from dltrain.layers import concat, eltwise, flatten, softmax

# losses and metrics
from dltrain.layers import accuracy, euclidean_loss, softmax_with_loss

__all__ = [
    "accuracy", "concat", "convolution", "dropout", "eltwise", "euclidean_loss", "flatten", "inner_product",
    "pooling", "relu", "sigmoid", "softmax", "softmax_with_loss", "tanh",
]  # fmt: skip
