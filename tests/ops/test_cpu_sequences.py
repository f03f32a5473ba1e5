"""Nets over words on the CPU: products in parts, tables, large outputs; the same threads make the same bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.engine import Engine
from dltrain.errors import DataError
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu, dense, recurrent, rows
from dltrain.ops.cpu.recurrent import multiplier
from dltrain.registry import LAYERS, SOLVERS
from dltrain.tensor import Shape
from dltrain.wiring import Line

WORDS, N, T = 30, 5, 4
RATES = {"lr": 0.1, "momentum": 0.9, "decay": 0.001}
RNG = np.random.default_rng(0)
BATCH = {"data": RNG.integers(0, WORDS, (N, T), np.int32), "label": RNG.integers(0, WORDS, (N, T), np.int32)}


def net(kind: str, **keys: Any) -> Net:
    lines = [
        Line("embed", LAYERS["Embed"](input_dim=WORDS, num_output=7)),
        Line("cell", LAYERS[kind](num_output=6, **keys)),
        Line("drop", LAYERS["Dropout"]()),
        Line("words", LAYERS["InnerProduct"](num_output=WORDS, axis=2)),
        Line("loss", LAYERS["SoftmaxWithLoss"](axis=2), ["words", "label"]),
    ]
    return Net(lines, {"data": Shape((T,), "index"), "label": Shape((T,), "index")}, N)


def trained(backend: Reference, kind: str, **keys: Any) -> Any:
    """The weights after a few steps."""
    made = net(kind, **keys)
    engine = Engine(made, backend, SOLVERS["SGD"](base_lr=0.1, momentum=0.9, weight_decay=0.001, clip_gradients=1.0))
    engine.initialise(1)
    for _ in range(4):
        engine.step([BATCH], RATES)
    assert not engine.has_failed
    weights = engine.memory.memory(made.store.w).copy()
    engine.close()
    return weights


@pytest.mark.parametrize(("kind", "keys"), [
    ("LSTM", {"num_layers": 2}), ("LSTM", {"peepholes": True, "bidirectional": True}), ("GRU", {"num_layers": 2, "carry": True}),
    ("GRU", {"reset": "before"}), ("RNN", {"bidirectional": True, "num_layers": 2}),
])  # fmt: skip
def test_training_makes_the_weights_that_the_reference_makes_and_always_the_same(kind: str, keys: Any) -> None:
    right = trained(Reference(np.float64), kind, **keys)
    for workers in (1, 2, 3, 7):  # 7: some have no samples
        made = trained(Cpu(workers), kind, **keys)
        np.testing.assert_array_equal(made, trained(Cpu(workers), kind, **keys))
        assert np.abs(made - right).max() <= 1e-5 * np.abs(right).max()


@pytest.mark.parametrize("small", [1, 60, 100, 250, 10**6])
@pytest.mark.parametrize("samples", [1, 2, 5, 11])
def test_a_product_in_parts_is_the_product(samples: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "SMALL", small)
    x, w = RNG.integers(-3, 4, (samples, 5)).astype(np.float32), RNG.integers(-3, 4, (5, 9)).astype(np.float32)
    y = np.full((samples, 9), np.nan, np.float32)
    multiplier(samples, w)(x, y)
    np.testing.assert_array_equal(y, x @ w)


@pytest.mark.parametrize("word", [WORDS, -1, 2**31 - 1])
def test_a_word_that_is_not_in_the_table_is_named_by_its_place_in_the_batch(word: int) -> None:
    data = BATCH["data"].copy()
    data[4, 1] = word  # a sample of the second worker
    engine = Engine(net("RNN"), Cpu(2), SOLVERS["SGD"](base_lr=0.1))
    with pytest.raises(
        DataError, match=re.escape(f"layer 'embed' (Embed): index {word} at [4, 1] of the batch is outside 0 .. 29")
    ):
        engine.step([BATCH | {"data": data}], RATES)


@pytest.mark.parametrize("columns", [100, 2050])
@pytest.mark.parametrize("fresh", [set(), {"dw"}, {"db"}, {"dw", "db"}])
def test_gradients_of_a_product_are_added_or_written_and_columns_far_apart_copied_first(fresh: set[str], columns: int) -> None:
    x, dy = RNG.integers(-3, 4, (130, 3)).astype(np.float32), RNG.integers(-3, 4, (130, columns)).astype(np.float32)
    assert dense.far_apart(dy) == (columns == 2050) and not dense.far_apart(dy[:100])
    low, high, block = 16, columns - 50, min(640, columns)
    dw, db = np.ones((columns, 3), np.float32), np.ones(columns, np.float32)
    scratch = np.full(block * 133, np.nan, np.float32)
    dense.add_products(x, dy, dw, db, low, high, block, frozenset(fresh), scratch)
    np.testing.assert_array_equal(dw[low:high], ("dw" not in fresh) + (dy.T @ x)[low:high])
    np.testing.assert_array_equal(db[low:high], ("db" not in fresh) + dy.sum(axis=0)[low:high])
    assert (dw[:low] == 1).all() and (dw[high:] == 1).all() and (db[:low] == 1).all() and (db[high:] == 1).all()


@pytest.mark.parametrize("size", [1, 7, 8, 9, 31])
def test_the_largest_of_a_row_wherever_it_lies(size: int) -> None:
    for at in range(size):
        row = RNG.permutation(size).astype(np.float32) - 40
        row[at] = 0.5
        assert rows.largest(row) == np.float32(0.5)
    assert np.isneginf(rows.largest(np.full(size, -np.inf, np.float32)))


def test_a_score_that_is_nan_makes_its_whole_row_nan_and_no_other() -> None:
    for at in range(19):
        x = RNG.standard_normal((3, 19)).astype(np.float32)
        x[1, at] = np.nan
        y = np.zeros_like(x)
        rows.softmax_rows(x, y)
        assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2]]).all()
