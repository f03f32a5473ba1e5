"""Names from elsewhere as names of ours: letters, digits, _ and -, none twice."""

from __future__ import annotations

import re
from collections.abc import Collection

LONGEST = 60


def readable(text: str, otherwise: str = "layer") -> str:
    """The name with everything else as _, cut in front where it is too long.

    >>> readable("/features/conv.1/Conv_output_0")
    'features_conv_1_Conv_output_0'
    """
    made = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")
    if len(made) > LONGEST:
        made = made[-LONGEST:].partition("_")[2] or made[-LONGEST:]
    return made or otherwise


def unique(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken.

    >>> unique("conv", {"conv", "conv_2"})
    'conv_3'
    """
    if name not in taken:
        return name
    return next(made for number in range(2, len(taken) + 3) if (made := f"{name}_{number}") not in taken)
