"""What is drawn anew in every forward pass: a filler, keyed by the pass."""

from typing import Any

from dltrain.ops import philox
from dltrain.ops.signature import In, Out, op


@op()
def draw(count: In, y: Out, filler: Any, key: tuple[int, int]) -> None:
    """y = filler's values for the key that words 0 and 1 of the Philox stream (key, count) make; None is the standard normal"""
    first, second = (int(word) for word in philox.words(key, int(count[0]), 2))
    made = filler.fill(y.shape, (first, second)) if filler else philox.normal((first, second), 0, y.size).reshape(y.shape)
    y[...] = made.astype(y.dtype)
