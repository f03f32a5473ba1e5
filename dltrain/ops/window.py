"""The geometry of windows that slide over images: sizes in, sizes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True)
class Window:
    """One number a spatial axis: how large the window is, how it moves, what is put around the image."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...] = ()
    group: int = 1

    @property
    def steps(self) -> tuple[int, ...]:
        return self.dilation or (1,) * len(self.kernel)

    @property
    def area(self) -> int:
        return prod(self.kernel)

    @property
    def extent(self) -> tuple[int, ...]:
        """What a window spans: d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.steps, self.kernel, strict=True))

    def convolved(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """floor((n + 2p - (d (k - 1) + 1)) / s) + 1"""
        axes = zip(sizes, self.extent, self.stride, self.pad, strict=True)
        return tuple((n + 2 * p - e) // s + 1 for n, e, s, p in axes)

    def pooled(self, sizes: tuple[int, ...], ceil: bool = True) -> tuple[int, ...]:
        """ceil((n + 2p - k) / s) + 1; where any axis is padded, the last window must start inside the image or the pad before it.

        Caffe, src/caffe/layers/pooling_layer.cpp.
        """
        made = []
        for n, k, s, p in zip(sizes, self.kernel, self.stride, self.pad, strict=True):
            span = n + 2 * p - k
            windows = (-(-span // s) if ceil else span // s) + 1
            made.append(windows - 1 if any(self.pad) and (windows - 1) * s >= n + p else windows)
        return tuple(made)

    def taps(self, outputs: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """For each element of the window: its index, and the slices of the padded image that it meets."""
        for tap in np.ndindex(*self.kernel):
            yield (
                tap,
                tuple(
                    slice(t * d, t * d + (o - 1) * s + 1, s)
                    for t, d, o, s in zip(tap, self.steps, outputs, self.stride, strict=True)
                ),
            )
