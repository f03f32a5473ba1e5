"""Digits: what came with dltrain, and that it stays what it is."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.data import make_digits
from dltrain.data.digits import Digits

FILE = Path(make_digits.__file__).with_name("digits.npz")
COUNTS = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])  # of each digit, as the data set's page has them


@pytest.fixture(scope="module")
def digits() -> Digits:
    source = Digits()
    source.open()
    return source


def read(source: Digits, indices: Any, dtype: Any = np.float32) -> tuple[Any, Any]:
    out = {"data": np.full((len(indices), 1, 8, 8), np.nan, dtype), "label": np.full(len(indices), -1, np.int32)}
    source.read(np.asarray(indices), out)
    return out["data"], out["label"]


def test_the_file_is_the_one_that_was_committed() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == "508d12d1a740140275d716a1f9fc18d848424f26293c3b036b10eeb4f15f20ff"


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn, which is not installed")
@pytest.mark.filterwarnings("default")  # what scikit-learn warns of is not ours
def test_the_script_makes_the_file_byte_for_byte() -> None:
    assert make_digits.make() == FILE.read_bytes()


def test_fields_and_classes(digits: Digits) -> None:
    assert len(digits) == 1797
    assert [(name, tuple(shape), shape.dtype) for name, shape in digits.fields.items()] == [
        ("data", (1, 8, 8), "float"),
        ("label", (), "index"),
    ]
    assert digits.classes == {"label": 10}
    assert digits.identify(17) == "17"


def test_the_first_image(digits: Digits) -> None:
    data, label = read(digits, [0])
    sixteenths = [
        [0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0], [0, 3, 15, 2, 0, 11, 8, 0], [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0], [0, 4, 11, 0, 1, 12, 7, 0], [0, 2, 14, 5, 10, 12, 0, 0], [0, 0, 6, 13, 10, 0, 0, 0],
    ]  # fmt: skip
    assert np.array_equal(data[0, 0], np.round(np.array(sixteenths) * 255 / 16))
    assert label[0] == 0


def test_values(digits: Digits) -> None:
    data, label = read(digits, range(1797))
    assert set(np.unique(data)) == {round(v * 255 / 16) for v in range(17)}
    assert np.array_equal(np.bincount(label), COUNTS)


def test_reads_what_it_is_asked_for(digits: Digits) -> None:
    data, label = read(digits, [1796, 5, 5])
    assert np.array_equal(data[1], data[2]) and not np.array_equal(data[0], data[1])
    only = {"label": np.empty(2, np.int32)}
    digits.read(np.array([1796, 5]), only)
    assert np.array_equal(only["label"], label[:2])
    assert np.array_equal(read(digits, [1796], np.float64)[0], data[:1])


def test_splits_are_a_partition(digits: Digits) -> None:
    assert {name: len(indices) for name, indices in digits.splits.items()} == {"train": 1257, "val": 180, "test": 360}
    assert np.array_equal(np.sort(np.concatenate(list(digits.splits.values()))), np.arange(1797))
    assert all((np.diff(indices) > 0).all() for indices in digits.splits.values())


def test_splits_are_stratified(digits: Digits) -> None:
    _, label = read(digits, range(1797))
    for indices in digits.splits.values():
        counts = np.bincount(label[indices], minlength=10)
        assert (np.abs(counts - COUNTS * len(indices) / 1797) < 1).all()


def test_splits_are_stable(digits: Digits) -> None:
    digests = {name: hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16] for name, indices in digits.splits.items()}
    assert digests == {"train": "2d51ad6c45e617b4", "val": "947cd8b479302a62", "test": "51be527b368e2335"}


def test_places_go_to_the_largest_remainders() -> None:
    assert make_digits.share({0: 5, 1: 3, 2: 2}, 4) == {0: 2, 1: 1, 2: 1}  # 2.0, 1.2, 0.8
    assert make_digits.share({0: 7, 1: 2, 2: 1}, 5) == {0: 4, 1: 1, 2: 0}  # 3.5, 1.0, 0.5: of equals, the first
