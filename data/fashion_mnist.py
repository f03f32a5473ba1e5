"""Fashion-MNIST: 70,000 images of clothes, in files like MNIST's, and harder."""

from __future__ import annotations

from typing import ClassVar

from dltrain.data.mnist import Glyphs, open_four
from dltrain.source import Shape, source

NAMES = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


@source("fashion_mnist")
class FashionMnist(Glyphs):
    """28 x 28 grey images of ten kinds of clothes.

    data    1 x 28 x 28, 0 .. 255       label   0 .. 9, in `names`
    splits  train 55,000, val the last 5,000 of the 60,000 training images, test 10,000

    The files are looked for as those of mnist are, in the folder fashion_mnist.  Xiao, Rasul & Vollgraf, arXiv 1708.07747.
    """

    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str | None = None

    def open(self) -> None:
        open_four(self, self.root)
        self.names = {"label": list(NAMES)}

    def promised(self) -> dict[str, Shape]:
        return self.square(len(NAMES))
