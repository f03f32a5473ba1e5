"""Filter: what passes, how many tops there are, and a net whose batches shrink on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.filter import Filter
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import check_layer
from dltrain.wiring import Line

FIELDS = {"data": Shape((3,)), "target": Shape((2,)), "keep": Shape((), "index")}
BATCH = {"data": np.arange(12.0).reshape(4, 3), "target": np.arange(8.0).reshape(4, 2)}


def net() -> Net:
    """A filter between the weights and the loss, and a line above it."""
    lines = [Line("ip", LAYERS["InnerProduct"](num_output=2)), Line("f", Filter(), ["ip", "target", "keep"]),
             Line("copy", LAYERS["Flatten"](), "f"), Line("loss", LAYERS["EuclideanLoss"](), ["copy", "f.1"])]  # fmt: skip
    return Net(lines, dict(FIELDS), batch=4)


def engine(backend: Any = None) -> Engine:
    made = Engine(net(), backend or Reference(np.float64))
    rng = np.random.default_rng(0)
    for part in made.net.store.segments.values():
        made.memory.slot("w", part)[...] = rng.standard_normal(part.shape)
    return made


def test_by_itself_it_pretends_that_as_many_pass_as_there_are(run: Any) -> None:
    made = run(Filter(), BATCH["data"], np.array([0, 1, 0, 5]), dy=np.ones((4, 3)))
    np.testing.assert_array_equal(made.y, [[3, 4, 5], [9, 10, 11], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(made.dx, [[0] * 3, [1] * 3, [0] * 3, [1] * 3])


@pytest.mark.parametrize("keep", [[1, 0, 1, 1], [0, 0, 0, 7], [1, 1, 1, 1], [-1, 1, 0, 0], [0, 0, 0, 0]])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_net_sees_only_the_samples_that_pass(keep: list[int], backend: str) -> None:
    one = engine(Cpu(2) if backend == "cpu" else None)
    names = ("ip", "f", "f.1")
    one.forward("test", {**BATCH, "keep": np.array(keep)}, upto=names)
    blobs, rows = {name: one.blob(name) for name in names}, np.flatnonzero(keep)
    np.testing.assert_array_equal(blobs["f"], blobs["ip"][rows])
    np.testing.assert_array_equal(blobs["f.1"], BATCH["target"][rows])
    one.close()


@pytest.mark.parametrize("keep", [[1, 0, 1, 1], [0, 0, 0, 7], [1, 1, 1, 1]])
def test_its_gradient_is_that_of_the_samples_alone(keep: list[int]) -> None:
    one, other = engine(), engine()
    rows = np.flatnonzero(keep)
    one.forward("train", {**BATCH, "keep": np.array(keep)})
    other.forward("train", {"data": BATCH["data"][rows], "target": BATCH["target"][rows], "keep": np.ones(len(rows))})
    for part in one.net.store.segments.values():
        np.testing.assert_allclose(one.memory.slot("g", part), other.memory.slot("g", part), rtol=1e-12)


def test_a_batch_of_which_nothing_passes_teaches_nothing() -> None:
    one = engine()
    one.forward("train", {**BATCH, "keep": np.zeros(4, int)})
    assert all((one.memory.slot("g", part) == 0).all() for part in one.net.store.segments.values())


def test_it_has_a_top_for_each_bottom_but_the_selector() -> None:
    assert [Filter().top_roles(bottoms) for bottoms in (2, 3, 4)] == [(), ("1",), ("1", "2")]
    assert net().shapes["train"]["f.1"] == (4, 2)


def test_sits_the_exam() -> None:
    check_layer(Filter(), (4, 3), Shape((4,), "index"))
    check_layer(Filter(), (4,), (4, 2, 3, 2), Shape((4, 1)))


@pytest.mark.parametrize(("shapes", "words"), [
    ([(3, 2)], "needs what is to be filtered and, last, the selector"),
    ([(3, 2), (3, 2)], "the selector, its last bottom, must have one number a sample, not 3 x 2"),
    ([(3, 2), (4,)], "3 x 2 and the selector 4 differ in the number of samples"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(Filter(), shapes, "bottom", words)
