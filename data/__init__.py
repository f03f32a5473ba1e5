"""Where batches come from: a source of samples a file, and the transforms that a batch goes through."""

from dltrain.data import arrays, digits, mnist, transforms

__all__ = ["arrays", "digits", "mnist", "transforms"]
