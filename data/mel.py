"""Log-mel features: how strong a sound is at frequencies as far apart as the ear tells them, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import Any, Literal

import numpy as np

from dltrain.errors import Refusal
from dltrain.fields import Count, NonNegative, Positive
from dltrain.source import ANY_SIZE, Shape, Step, Training, transform

FLOOR = 1e-6
LONGEST = 10.0  # seconds of a window


@dataclass(kw_only=True)
class Frames:
    """`window` and `hop` in seconds, `low` and `high` in Hz (half the rate where nothing is said)."""

    mels: Count = 40
    window: Positive = 0.025
    hop: Positive = 0.01
    low: NonNegative = 0.0
    high: Positive | None = None


class LogMel:
    """The formula of the step mel, for sounds of one rate: of each the hop, the window, K and the H that it needs.

    x  (samples)        y  (mels, frames)        one shorter than a window is followed by zeros
    """

    def __init__(self, keys: Frames, rate: int) -> None:
        if keys.window > LONGEST or keys.hop > LONGEST:
            raise Refusal("window" if keys.window > LONGEST else "hop", "mel: is told in seconds, such as 0.025")
        high = keys.high or rate / 2
        if not keys.low < high <= rate / 2:
            raise Refusal(
                "high", f"mel: from {keys.low:g} to {high:g} Hz; a sound of {rate} samples a second has 0 to {rate / 2:g}"
            )
        self.window, self.hop = max(2, round(keys.window * rate)), max(1, round(keys.hop * rate))
        self.size, self.mels = 1 << (self.window - 1).bit_length(), keys.mels
        if self.mels > self.size // 2:
            raise Refusal(
                "mels", f"mel: {self.mels} bands are too many: a window has {self.size // 2} frequencies; ask for fewer"
            )
        self.taper = ((1 - np.cos(2 * np.pi * np.arange(self.window) / self.window)) / 2).astype(np.float32)
        edges = 700 * (10 ** (np.linspace(mel(keys.low), mel(high), keys.mels + 2) / 2595) - 1)
        below, peak, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        f = np.arange(self.size // 2 + 1) * rate / self.size
        self.filters = np.maximum(0, np.minimum((f - below) / (peak - below), (above - f) / (above - peak))).astype(np.float32)
        empty = np.flatnonzero(~self.filters.any(axis=1))
        if len(empty):
            raise Refusal("mels", f"mel: {keys.mels} bands are too many: none of the {len(f)} frequencies of a window falls into "
                          f"that around {peak[empty[0], 0]:.0f} Hz; ask for fewer mels, or a longer window")  # fmt: skip

    def frames(self, samples: int) -> int:
        return ANY_SIZE if samples == ANY_SIZE else max(0, (samples - self.window) // self.hop + 1)

    def __call__(self, x: Any) -> Any:
        if len(x) < self.window:
            x = np.pad(x, (0, self.window - len(x)))
        framed = np.lib.stride_tricks.sliding_window_view(x, self.window)[:: self.hop] * self.taper  # (frames, W)
        spectrum = np.fft.rfft(framed, self.size, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)  # (frames, K / 2 + 1)
        return np.log(np.einsum("mk,fk->mf", self.filters, power) + np.float32(FLOOR))


def mel(frequency: float) -> float:
    return 2595 * log10(1 + frequency / 700)


@transform("mel")
class Mel(Frames, Step):
    """y_mf = log(sum_k H_mk |X_kf|^2 + 1e-6): how strong a sound is in each of `mels` bands of frequency, frame by frame.

    X_kf = sum_n w_n x_{f h + n} exp(-2 pi i k n / K),   w_n = (1 - cos(2 pi n / W)) / 2,   W and h `window` and `hop` in
    samples, K the next power of two from W on.   H_m is a triangle over frequency, 0 at f_{m-1} and f_{m+1}, 1 at f_m; the f_m
    lie evenly from `low` to `high` on the scale 2595 log10(1 + f / 700).

    x  (N, 1, samples)        y  (N, mels, frames), frames = floor((samples - W) / h) + 1

    The power is not divided by K.  `rate`, samples a second, is that of the sound: the step cannot see it.
    Davis & Mermelstein, IEEE Trans. ASSP 1980
    """

    rate: Count
    phase: Literal["train", "test"] | None = None
    top: str | None = None

    def setup(self, x: Shape, training: Training) -> Shape:
        if len(x) != 2 or x[0] != 1 or x.dtype == "index":
            raise Refusal("", f"mel: needs a sound (1 x samples), not {x}")
        self.made = LogMel(self, self.rate)
        frames = self.made.frames(x[1])
        if frames == 0:
            raise Refusal("window", f"mel: a window of {self.made.window} samples is longer than the sound, {x[1]}")
        return Shape((self.mels, frames))

    def one(self, x: Any, u: Any) -> Any:
        return self.made(x[0])
