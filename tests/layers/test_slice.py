"""Slice: where it cuts, how its pieces are named, and the gradient of a piece that nobody reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.slice import Slice
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer
from dltrain.wiring import Line

CASES: list[tuple[dict[str, Any], tuple[int, ...], list[int]]] = [
    ({}, (2, 6), [0, 3, 6]),
    ({"tops": 3}, (2, 6, 4), [0, 2, 4, 6]),
    ({"slice_point": (1, 3)}, (2, 4, 3), [0, 1, 3, 4]),
    ({"slice_point": (2,), "axis": -1}, (2, 3, 5), [0, 2, 5]),
    ({"slice_point": (1,), "axis": 0}, (3, 2), [0, 1, 3]),
    ({"tops": 1}, (2, 3), [0, 3]),
]


@pytest.mark.parametrize(("keys", "shape", "bounds"), CASES)
def test_values_and_gradients(keys: Any, shape: Any, bounds: list[int]) -> None:
    layer, x = Slice(**keys), np.random.default_rng(0).standard_normal(shape)
    expected = np.split(x, bounds[1:-1], layer.axis)
    trial = Trial(layer, [Shape(shape)])
    assert trial.promised == [part.shape for part in expected]
    tops, dxs, _ = trial.run([x], [10 * part for part in expected], {})
    for top, part in zip(tops, expected, strict=True):
        np.testing.assert_array_equal(top, part)
    np.testing.assert_array_equal(dxs[0], 10 * x)


def test_integers_stay_integers() -> None:
    assert [shape.dtype for shape in Trial(Slice(), [Shape((2, 4), "index")]).promised] == ["index", "index"]


@pytest.mark.parametrize(("keys", "roles"), [
    ({}, ("1",)), ({"tops": 1}, ()), ({"tops": 4}, ("1", "2", "3")), ({"slice_point": (1, 2)}, ("1", "2"))])  # fmt: skip
def test_its_keys_say_how_many_tops_there_are(keys: Any, roles: tuple[str, ...]) -> None:
    assert Slice(**keys).top_roles(1) == roles


@pytest.mark.parametrize(("read", "gradient"), [
    ("s", [1, 0, 0]), ("s.1", [0, 1, 0]), ("s.2", [0, 0, 1])])  # fmt: skip
def test_a_piece_that_nobody_reads_has_no_gradient(read: str, gradient: list[float]) -> None:
    """The gradient by the net's weights, 1 where the piece that is summed was cut."""
    lines = [Line("w", LAYERS["Parameter"](shape=(1, 3))), Line("s", Slice(tops=3), "w"),
             Line("sum", LAYERS["Reduction"](), read, loss_weight=1.0)]  # fmt: skip
    engine = Engine(Net(lines, {"data": Shape((1,))}), Reference(np.float64))
    engine.forward("train", {"data": np.zeros((2, 1))})
    (part,) = engine.net.store.segments.values()
    np.testing.assert_array_equal(engine.memory.slot("g", part), [gradient])


@pytest.mark.parametrize(("keys", "shape", "bounds"), CASES)
def test_sits_the_exam(keys: Any, shape: Any, bounds: list[int]) -> None:
    check_layer(Slice(**keys), shape)


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"axis": 2}, "axis", "2 is not an axis of 2 x 6"),
    ({"axis": -3}, "axis", "-3 is not an axis of 2 x 6"),
    ({"tops": 4}, "tops", "4 does not divide the 6 of axis 1; give slice_point"),
    ({"slice_point": (1, 2), "tops": 2}, "tops", "is 2, but 2 slice points make 3; leave it out"),
    ({"slice_point": (2, 2)}, "slice_point", "must rise from 1 to less than the 6 of axis 1, not 2, 2"),
    ({"slice_point": (6,)}, "slice_point", "must rise from 1 to less than the 6 of axis 1, not 6"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Slice(**keys), [(2, 6)], key, words)
