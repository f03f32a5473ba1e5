"""The contract of elementwise layers: arguments by name, and what their order must be."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from dltrain.elementwise import Elementwise
from dltrain.layer import Shape
from dltrain.testing import Trial, check_layer


@dataclass(kw_only=True)
class Bent(Elementwise):
    """y = scale x^power: two keys, told in another order than they are declared"""

    scale: float = 2.0
    power: float = 3.0

    @staticmethod
    def f(x: float, power: float, scale: float) -> float:
        return scale * x**power

    @staticmethod
    def df(dy: float, x: float, power: float, scale: float) -> float:
        return dy * scale * power * x ** (power - 1)


@dataclass(kw_only=True)
class KeyFirst(Bent):
    @staticmethod
    def f(scale: float, x: float) -> float:
        return scale - x

    @staticmethod
    def df(dy: float) -> float:
        return -dy


@dataclass(kw_only=True)
class KeyBetween(Bent):
    @staticmethod
    def f(x: float) -> float:
        return x

    @staticmethod
    def df(x: float, scale: float, dy: float) -> float:
        return dy


def test_names_say_what_an_argument_gets() -> None:
    trial = Trial(Bent(), [Shape((3,))])
    (y,), (dx,), _ = trial.run([[1.0, 2.0, -1.0]], [[1.0, 10.0, 100.0]], {})
    np.testing.assert_allclose(y, [2, 16, -2])
    np.testing.assert_allclose(dx, [6, 240, 600])
    check_layer(Bent(power=2.0), (2, 3))


@pytest.mark.parametrize(("layer", "words"), [
    (KeyFirst, "KeyFirst.f(scale, x): a key stands before x, y or dy; put the keys last"),
    (KeyBetween, "KeyBetween.df(x, scale, dy): a key stands before x, y or dy; put the keys last"),
])  # fmt: skip
def test_a_key_before_a_blob_is_refused(layer: type[Elementwise], words: str) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        Trial(layer(), [Shape((3,))])
