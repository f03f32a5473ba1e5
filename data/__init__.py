"""Where batches come from: a source of samples a file, and the transforms that a batch goes through."""

from dltrain.data import arrays, digits, emnist, fashion_mnist, idx_files, mnist, transforms

__all__ = ["arrays", "digits", "emnist", "fashion_mnist", "idx_files", "mnist", "transforms"]
