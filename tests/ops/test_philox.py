"""Philox: the published vectors, the moments of what is made of them, and streams that may be entered anywhere."""

from __future__ import annotations

import sys
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.ops import philox

ONES = 0xFFFFFFFF
KEY = philox.key(1, "a test")
keys = some.tuples(some.integers(0, ONES), some.integers(0, ONES))


@pytest.mark.parametrize(("counter", "key", "expected"), [  # Random123, kat_vectors: philox4x32 10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
])  # fmt: skip
def test_gives_the_published_vectors(counter: Any, key: Any, expected: Any) -> None:
    assert tuple(int(word) for word in philox.block(counter, key)) == expected


def test_the_first_words_of_stream_zero_are_the_first_vector() -> None:
    assert philox.words((0, 0), 0, 4).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@given(keys, some.integers(0, 2**40), some.integers(0, 50), some.integers(0, 50))
def test_a_stream_may_be_entered_anywhere(key: Any, count: int, start: int, size: int) -> None:
    whole = philox.words(key, count, start + size)
    assert whole.dtype == np.uint32 and whole.shape == (start + size,)
    np.testing.assert_array_equal(philox.words(key, count, size, start), whole[start:])


@pytest.mark.parametrize(("start", "count", "counter"), [
    (4 * 5, 0, (5, 0, 0, 0)),
    (4 * (2**32 + 3), 0, (3, 1, 0, 0)),
    (0, 9, (0, 0, 9, 0)),
    (4, 7 * 2**32 + 2, (1, 0, 2, 7)),
])  # fmt: skip
def test_the_counter_holds_the_block_and_the_forward_count_64_bits_each(start: int, count: int, counter: Any) -> None:
    np.testing.assert_array_equal(philox.words(KEY, count, 4, start), philox.block(counter, KEY))


def test_other_purposes_seeds_and_ranks_have_other_keys() -> None:
    made = [philox.key(seed, purpose, rank) for seed in (0, 1, 11) for purpose in ("drop1", "drop2", "1/x") for rank in (0, 1)]
    assert len(set(made)) == len(made)
    assert all(0 <= word <= ONES for key in made for word in key)
    assert philox.key(1, "drop1") == philox.key(1, "drop1", 0)


def test_every_bit_is_set_half_of_the_time() -> None:
    words = philox.words(KEY, 0, 100_000)
    shares = [float(((words >> np.uint32(bit)) & np.uint32(1)).mean()) for bit in range(32)]
    assert max(abs(share - 0.5) for share in shares) < 4 * 0.5 / sqrt(100_000)


def moments(values: Any) -> list[float]:
    return [float((values**power).mean()) for power in (1, 2, 3, 4)]


def test_uniform_numbers_have_the_moments_of_the_uniform_distribution() -> None:
    values = philox.uniform(KEY, 0, 200_000)
    assert values.dtype == np.float64
    assert 0 <= values.min() < 1e-4 and 1 - 1e-4 < values.max() < 1
    errors = [4 * sqrt((1 / (2 * p + 1) - 1 / (p + 1) ** 2) / values.size) for p in (1, 2, 3, 4)]
    assert all(abs(m - 1 / (p + 1)) < e for m, p, e in zip(moments(values), (1, 2, 3, 4), errors, strict=True))


def test_uniform_numbers_fill_twenty_bins_alike() -> None:
    counts = np.histogram(philox.uniform(KEY, 3, 100_000), 20, (0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 45  # chi-square, 19 degrees of freedom: once in 1,500


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    values = philox.normal(KEY, 0, 200_000)
    variances = [1, 2, 15, 96]  # of x, x^2, x^3, x^4
    expected = zip(moments(values), [0, 1, 0, 3], variances, strict=True)
    assert all(abs(moment - true) < 4 * sqrt(variance / values.size) for moment, true, variance in expected)


def test_the_two_halves_of_normal_numbers_know_nothing_of_each_other() -> None:
    one, other = philox.normal(KEY, 0, 100_000).reshape(2, -1)
    assert abs((one * other).mean()) < 4 / sqrt(50_000)
    assert abs((one**2 * other**2).mean() - 1) < 4 * sqrt(8 / 50_000)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
def test_any_number_of_numbers_can_be_had(size: int) -> None:
    assert philox.uniform(KEY, 0, size).shape == philox.normal(KEY, 0, size).shape == (size,)
    assert np.isfinite(philox.normal(KEY, 0, size)).all()


@given(keys, some.integers(0, 100), some.integers(0, 300))
def test_a_permutation_is_a_permutation(key: Any, count: int, size: int) -> None:
    assert sorted(philox.permutation(key, count, size).tolist()) == list(range(size))


def test_all_orders_of_three_are_equally_likely() -> None:
    orders = [tuple(philox.permutation(KEY, count, 3).tolist()) for count in range(1800)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert sum((count - 300) ** 2 / 300 for count in counts) < 20.5  # chi-square, 5 degrees of freedom: once in 1,000


def test_another_epoch_has_another_order() -> None:
    assert philox.permutation(KEY, 0, 50).tolist() != philox.permutation(KEY, 1, 50).tolist()


@pytest.mark.parametrize("start", [0, 3, 10**10 + 1])
def test_a_compiled_loop_gives_the_same_words(start: int) -> None:
    size = 4 * philox.MANY + 5
    first, number = start // 4, (start + size + 3) // 4 - start // 4
    plain = philox.few_blocks((7, 2**31), 2**33 + 1, first, number).reshape(-1)[start % 4 : start % 4 + size]
    assert np.array_equal(philox.words((7, 2**31), 2**33 + 1, size, start), plain)


def test_without_numba_the_words_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = philox.words((1, 2), 3, 4 * philox.MANY)
    monkeypatch.setitem(sys.modules, "dltrain.ops.cpu.words", None)
    assert np.array_equal(philox.words((1, 2), 3, 4 * philox.MANY), wanted)
