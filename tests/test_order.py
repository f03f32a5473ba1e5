"""The order of training: passes that lose nobody, windows, classes in turn, weights, lengths."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltrain.errors import DataError, Refusal
from dltrain.order import Order, Sampling, Shuffle, checked


def stream(order: Order, batches: int) -> list[list[int]]:
    size = order.size
    return [order.rows(np.arange(k * size, (k + 1) * size))[0].tolist() for k in range(batches)]


def test_without_shuffling_the_rows_come_as_they_are() -> None:
    assert stream(Order(1, 5, 2), 3) == [[0, 1], [2, 3], [4, 0]]


def test_passes_count_from_zero() -> None:
    assert Order(1, 3, 2).rows(np.arange(2, 8))[1].tolist() == [0, 1, 1, 1, 2, 2]


def test_drop_last_begins_each_pass_with_a_batch_of_its_own() -> None:
    order = Order(1, 5, 2, Shuffle(), drop_last=True)
    for number in range(6):
        assert len(set(stream(order, 12)[2 * number] + stream(order, 12)[2 * number + 1])) == 4
    assert order.length == 4


def test_a_set_smaller_than_a_batch_makes_none_where_the_last_is_dropped() -> None:
    with pytest.raises(DataError, match="5 samples make no batch of 6; make batch_size smaller"):
        Order(1, 5, 6, drop_last=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 3))
def test_a_window_keeps_its_samples_together(count: int, window: int, number: int) -> None:
    rows = Order(3, count, 1, Shuffle(window=window)).of(number)
    assert sorted(rows) == list(range(count))
    groups = [row // window for row in rows]
    assert sum(a != b for a, b in zip(groups, groups[1:])) == len(set(groups)) - 1


def test_windows_come_in_another_order_each_pass_and_are_shuffled_within() -> None:
    order = Order(3, 40, 1, Shuffle(window=4))
    firsts = {tuple(order.of(number)[::4] // 4) for number in range(4)}
    within = {tuple(sorted(order.of(number).tolist(), key=lambda row: row // 4)[:4]) for number in range(4)}
    assert len(firsts) == 4
    assert len(within) > 1


def test_balanced_gives_every_class_as_much() -> None:
    label = np.array([0] * 90 + [1] * 6 + [2] * 4)
    order = Order(1, 100, 10, sampling=Sampling(type="balanced"), values=label)
    counts = Counter(label[order.of(0)].tolist())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sum(counts.values()) == 100
    few = Counter(row for row in order.of(0).tolist() if label[row] == 2)
    assert max(few.values()) - min(few.values()) <= 1  # all samples of a small class, as often
    assert all(sorted(label[order.of(0)[at : at + 3]]) == [0, 1, 2] for at in range(0, 99, 3))
    assert order.of(0).tolist() != order.of(1).tolist()


def test_balanced_goes_through_all_samples_of_a_large_class() -> None:
    label = np.array([0] * 30 + [1] * 2)
    order = Order(1, 32, 8, sampling=Sampling(type="balanced"), values=label)
    seen = [row for number in range(2) for row in order.of(number).tolist() if label[row] == 0]
    assert max(Counter(seen).values()) <= 2
    assert len(set(seen)) >= 29


def test_weighted_draws_in_proportion() -> None:
    weights = np.array([0.0, 1.0, 3.0])
    order = Order(1, 3, 1, sampling=Sampling(type="weighted"), values=weights)
    counts = Counter(row for number in range(4000) for row in order.make(number).tolist())
    assert counts[0] == 0
    assert counts[2] / counts[1] == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(
    ("values", "words"),
    [([1.0, -2.0], "'w' is -2 in row 1"), ([0.0, 0.0], "'w' is 0 everywhere"), ([float("nan"), 1.0], "'w' is nan in row 0")],
)
def test_weights_that_cannot_be(values: list[float], words: str) -> None:
    with pytest.raises(Refusal, match=f"weights must be 0 or more, and not all 0; {words}"):
        checked(np.array(values), Sampling(type="weighted", by="w"))


def test_lengths_fill_batches_with_samples_of_one_length() -> None:
    lengths = np.random.default_rng(0).permutation(np.repeat([3, 5, 9], 40))
    order = Order(1, 120, 8, sampling=Sampling(type="lengths"), values=lengths)
    rows = order.of(0)
    assert sorted(rows) == list(range(120))
    batches = [lengths[rows[at : at + 8]] for at in range(0, 120, 8)]
    assert all(len(set(batch)) == 1 for batch in batches)
    assert [batch[0] for batch in batches] != sorted(batch[0] for batch in batches)
    assert rows.tolist() != order.of(1).tolist()


def test_a_fixed_order_is_kept_and_cut_into_whole_batches() -> None:
    fixed = np.array([0, 5, 1, 6, 2, 7, 3])
    order = Order(1, 10, 2, Shuffle(), fixed=fixed)
    assert stream(order, 4) == [[0, 5], [1, 6], [2, 7], [0, 5]]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["balanced", "weighted", "lengths"]), st.integers(1, 40), st.integers(1, 9), st.integers(0, 5))
def test_every_kind_is_a_function_of_the_pass_alone(kind: Any, count: int, size: int, number: int) -> None:
    values = np.arange(count) % 4 + 1
    one, other = (Order(7, count, size, sampling=Sampling(type=kind), values=values) for _ in range(2))
    other.of(number + 1)
    assert one.of(number).tolist() == other.of(number).tolist()
    assert len(one.of(number)) == count
    assert set(one.of(number)) <= set(range(count))
