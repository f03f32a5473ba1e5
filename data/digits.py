"""Digits: 1,797 small images of handwritten digits, which come with dltrain, so that every example runs without a download."""

from __future__ import annotations

from importlib import resources

import numpy as np

from dltrain.source import Arrays, Held, Shape, source


@source("digits")
class Digits(Held):
    """8 x 8 grey images of the digits 0 to 9, made by 13 writers.

    data    1 x 8 x 8, 0 .. 255         label   0 .. 9
    splits  train 1,257, val 180, test 360, drawn class by class once and for all

    Alpaydin & Kaynak, UCI Machine Learning Repository 1998; the licence is in DIGITS_LICENSE.md.
    """

    def open(self) -> None:
        with (
            resources.files("dltrain.data").joinpath("digits.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            self.arrays: Arrays = {"data": arrays["data"][:, None], "label": arrays["label"]}
            self.splits = {name: arrays[name].astype(np.int64) for name in ("train", "val", "test")}
        self.fields = self.promised()

    def promised(self) -> dict[str, Shape]:
        self.classes = {"label": 10}
        return {"data": Shape((1, 8, 8)), "label": Shape((), "index")}
