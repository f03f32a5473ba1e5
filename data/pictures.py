"""What sources of picture files have in common: the keys that say how a picture is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dltrain.data.image import MOST, Color, Pixels, quiet_pillow, read_image
from dltrain.source import ANY_SIZE, Arrays, Shape, Source


@dataclass(kw_only=True)
class Pictures(Source):
    """Pictures in files, decoded when they are needed: bytes, C x H x W.

    color        rgb or grey
    decode       scaled: a JPEG may come at 1/2, 1/4 or 1/8, where the transform begins with a smaller size; or full
    max_pixels   more than this no picture may have
    """

    color: Color = "rgb"
    decode: Literal["scaled", "full"] = "scaled"
    max_pixels: Pixels = MOST

    def prepare(self) -> Shape:
        """The shape of a picture, once it is known that pictures can be decoded at all."""
        quiet_pillow()
        return self.shape

    @property
    def shape(self) -> Shape:
        return Shape((self.channels, ANY_SIZE, ANY_SIZE))

    @staticmethod
    def there(path: str | None) -> bool:
        """Whether a file or folder is there to be looked into; a net can be looked at before its pictures are."""
        return path is not None and os.path.exists(path)

    @property
    def channels(self) -> int:
        return 3 if self.color == "rgb" else 1

    def picture(self, path: Path | str) -> Any:
        return read_image(path, self.color, self.max_pixels, self.least if self.decode == "scaled" else None)

    def load(self, path: Path) -> Arrays:
        return {next(iter(self.fields)): self.picture(path)}
