"""EMNIST: handwritten digits and letters in MNIST's form, six sets made from one large one."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, ClassVar, Literal

from dltrain.data import known
from dltrain.data.idx import read_idx
from dltrain.data.mnist import Glyphs
from dltrain.source import Shape, source

MERGED = digits + ascii_uppercase + "abdefghnqrt"  # the other small letters look like the large ones, and are one class with them
NAMES = {
    "balanced": MERGED, "byclass": digits + ascii_uppercase + ascii_lowercase, "bymerge": MERGED,
    "digits": digits, "letters": ascii_lowercase, "mnist": digits,
}  # fmt: skip
COUNTS = {
    "balanced": (112_800, 18_800), "byclass": (697_932, 116_323), "bymerge": (697_932, 116_323),
    "digits": (240_000, 40_000), "letters": (124_800, 20_800), "mnist": (60_000, 10_000),
}  # fmt: skip


@source("emnist")
class Emnist(Glyphs):
    """28 x 28 grey images of handwritten characters; `set` says which of them.

    data    1 x 28 x 28, 0 .. 255       label   0 .. classes - 1, in `names`
    splits  train and test: balanced 112,800 and 18,800 in 47 classes, byclass 697,932 and 116,323 in 62, bymerge as many in 47,
            digits 240,000 and 40,000 in 10, letters 124,800 and 20,800 in 26, mnist 60,000 and 10,000 in 10

    Images stand upright (the files have them mirrored along the diagonal), and letters count from 0 (the files: from 1).  The
    archive gzip.zip, or what is in it, is looked for as the files of mnist are, in the folder emnist.  Cohen, Afshar, Tapson &
    van Schaik, arXiv 1702.05373.
    """

    paths: ClassVar[tuple[str, ...]] = ("root",)

    set: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = "balanced"
    root: str | None = None

    def open(self) -> None:
        stems = [
            f"emnist-{self.set}-{split}-{kind}-ubyte" for split in ("train", "test") for kind in ("images-idx3", "labels-idx1")
        ]
        found = known.find("emnist", self.root, stems)
        pairs = []
        for split, count in zip(("train", "test"), COUNTS[self.set], strict=True):
            images, labels = (self.file(found, stem, count) for stem in stems if f"-{split}-" in stem)
            pairs.append((images.swapaxes(1, 2), labels - (self.set == "letters")))
        self.take(pairs[0], pairs[1], 0, len(NAMES[self.set]))
        self.names = {"label": list(NAMES[self.set])}

    def promised(self) -> dict[str, Shape]:
        return self.square(len(NAMES[self.set]))

    @staticmethod
    def file(found: dict[str, Any], stem: str, count: int) -> Any:
        """One of the four files, by itself or in the archive."""
        shape = (count, 28, 28) if "images" in stem else (count,)
        if stem in found:
            return read_idx(found[stem], shape)
        known_set = known.KNOWN["emnist"]
        return read_idx(found[str(known_set.archive)], shape, f"{known_set.inside}/{stem}.gz")
