"""Our own records and manifests: what is written is read, and what is damaged is told."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from dltrain.data import manifest, records
from dltrain.data.digits import Digits
from dltrain.data.manifest import Manifest
from dltrain.data.records import TYPES, RecordWriter, compact, decode, encode, layout
from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Shape

SAMPLE = {"data": np.array([[1, 2], [3, 4]], np.uint8), "label": np.int32(-5)}
BY_HAND = b"dlr1\x02\x04data\x00\x02\x02\0\0\0\x02\0\0\0\x05label\x01\x00\x01\x02\x03\x04\xfb\xff\xff\xff"


def test_by_hand() -> None:
    assert encode(SAMPLE) == BY_HAND
    found = decode(BY_HAND)
    assert found["data"].tolist() == [[1, 2], [3, 4]] and found["label"] == -5 and found["label"].shape == ()
    assert list(decode(BY_HAND, ("label",))) == ["label"]


ANY = arrays.arrays(some.sampled_from(TYPES), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


@settings(max_examples=80, deadline=None)
@given(some.dictionaries(some.text("abcdé_.", min_size=1, max_size=20), ANY, max_size=5), some.binary(min_size=1, max_size=3))
def test_any_sample_is_read_as_it_was_written(sample: dict[str, Any], more: bytes) -> None:
    record = encode(sample)
    for name, array in decode(record).items():
        assert array.dtype == sample[name].dtype and array.shape == sample[name].shape
        assert array.tobytes() == sample[name].tobytes()
    with pytest.raises(ValueError, match="is damaged"):
        decode(record + more)
    for end in range(4, len(record)):
        with pytest.raises(ValueError, match="is damaged"):
            decode(record[:end])


def test_the_head_is_enough_to_find_a_field() -> None:
    places = layout(BY_HAND[:40], len(BY_HAND))
    assert places["label"].start == len(BY_HAND) - 4
    assert places["label"].array(BY_HAND[-4:], places["label"].start) == -5
    with pytest.raises(IndexError):
        layout(BY_HAND[:20], len(BY_HAND))


@pytest.mark.parametrize(("record", "words"), [
    (b"dlr2" + BY_HAND[4:], "is no record of dltrain"),
    (BY_HAND.replace(b"\x04data\0", b"\x04data\x63"), "is damaged: a field is of type 99"),
    (BY_HAND.replace(b"\x02\0\0\0\x02", b"\xff\xff\xff\xff\xff"), "is damaged: it has 36 bytes where its head promises"),
    (BY_HAND.replace(b"label", b"\xffabel"), "utf-8"),
])  # fmt: skip
def test_records_that_are_none(record: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode(record)


def test_a_field_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="has no field 'age'"):
        decode(BY_HAND, ("age",))


@pytest.mark.parametrize(("numbers", "kind"), [
    ([0, 255, 3], np.uint8), ([0, 256], np.float32), ([-1, 2], np.float32), ([0.5], np.float32), ([-0.0], np.float32),
    ([np.nan], np.float32), ([np.inf], np.float32),
])  # fmt: skip
def test_bytes_only_where_they_hold_every_bit(numbers: list[float], kind: Any) -> None:
    array = np.array(numbers, np.float32)
    assert compact(array).dtype == kind
    assert compact(array).astype(np.float32).tobytes() == array.tobytes()


def test_without_lmdb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(DataError, match=r"writing an LMDB needs lmdb, which is not installed: pip install 'dltrain\[lmdb\]'"):
        RecordWriter(Path("x.lmdb"))


# --- manifests ---
def about(**changes: Any) -> Manifest:
    given = {
        "fields": {"data": Shape((3, ANY_SIZE, 2)), "label": Shape((), "index")}, "count": 4,
        "splits": {"train": np.array([0, 1, 3]), "test": np.array([2])}, "classes": {"label": 2}, "names": {"label": ["a", "ü"]},
        "facts": {"take": [1, 2, 3, 4]}, "ids": ["w", "x", "y", "z"], "digest": "abc",
    }  # fmt: skip
    return Manifest(**{**given, **changes})


def test_a_manifest_is_read_as_it_was_written() -> None:
    made, found = about(), manifest.read(about().text(), "f")
    assert found.fields == made.fields and found.fields["label"].dtype == "index" and list(found.fields) == ["data", "label"]
    assert {name: rows.tolist() for name, rows in found.splits.items()} == {"train": [0, 1, 3], "test": [2]}
    assert (found.classes, found.names, found.facts, found.ids) == (made.classes, made.names, made.facts, made.ids)
    assert found.identify(1, "row 1") == "x" and manifest.read(about(ids=None).text(), "f").identify(1, "row 1") == "row 1"


def test_of_a_source() -> None:
    source = Digits()
    source.open()
    made = Manifest.of(source)
    assert made.count == 1797 and made.ids is None and made.classes == {"label": 10}
    assert len(made.splits["train"]) == 1257


@settings(max_examples=50, deadline=None)
@given(some.lists(some.integers(0, 30), max_size=31, unique=True))
def test_any_split(rows: list[int]) -> None:
    found = manifest.read(about(count=31, splits={"train": np.array(rows, np.int64)}, facts={}, ids=None).text(), "f")
    assert found.splits["train"].tolist() == rows


@pytest.mark.parametrize(("change", "words"), [
    ({"dltrain": 2}, "it is of format 2, where 1 is known"),
    ({"count": 0}, "0 is no number from 1 to"),
    ({"count": 5}, "a list does not have the 5 values it should"),
    ({"splits": {"train": [[0, 5]]}}, "5 is no number from 1 to 4"),
    ({"splits": {"train": [[2, 1]]}}, "1 is no number from 3 to 4"),
    ({"splits": {"train": [[0, 4]] * 2}}, "a split has more samples than there are"),
    ({"splits": {"../x y": [[0, 4]]}}, "is no name"),
    ({"fields": {}}, "it has no fields"),
    ({"fields": {"data": {"shape": [1] * 9, "dtype": "float"}}}, "is no field"),
    ({"fields": {"data": {"shape": [2], "dtype": "byte"}}}, "is no field"),
    ({"fields": {"data": {"shape": [-2], "dtype": "float"}}}, "-2 is no number from -1"),
    ({"fields": [1]}, "has no attribute"),
    ({"classes": {"label": "2"}}, "'2' is no number"),
    ({"ids": 3}, "a list does not have"),
])  # fmt: skip
def test_manifests_that_are_damaged(change: dict[str, Any], words: str) -> None:
    said = {**json.loads(about().text()), **change}
    with pytest.raises(DataError, match=f"f: its manifest is damaged .*{re.escape(words)}.*; convert the data once more"):
        manifest.read(json.dumps(said).encode(), "f")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_texts_that_are_no_manifests(text: bytes) -> None:
    with pytest.raises(DataError, match="f: its manifest is damaged"):
        manifest.read(text, "f")


def test_keys_keep_the_order() -> None:
    keys = [records.key(index) for index in (0, 9, 10, 99_999, 10**9)]
    assert keys == sorted(keys) and keys[2] == b"0000000010" and manifest.NAME.encode() > keys[-1]
