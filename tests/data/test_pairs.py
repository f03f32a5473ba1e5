"""Pairs and triplets: who meets whom, how often, in which split, from sources of both kinds, and what is refused."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.checks import choose
from dltrain.data.pairs import Combined, Pairs, Triplets
from dltrain.errors import DataError, Refusal
from dltrain.feed import Feed
from dltrain.marks import Document
from dltrain.registry import SOURCES
from dltrain.sections import DataKeys
from dltrain.source import empty
from tests.fixtures.samples import OneByOne

LABELS = [0, 1, 0, 2, 1, 0, 2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """arrays of seven samples in train, whose data are their numbers, and four in test."""
    monkeypatch.chdir(tmp_path)
    np.savez("train.npz", data=np.arange(7.0), label=LABELS, other=[0, 1, 0, 1, 0, 1, 0])
    np.savez("test.npz", data=np.arange(10.0, 14.0), label=[0, 0, 1, 1], other=[0, 1, 0, 1])


WITHIN = {"type": "arrays", "train": "train.npz", "test": "test.npz"}


def opened(kind: str, of: Any = WITHIN, **keys: Any) -> Combined:
    document = Document("some.yaml")
    source = choose(document, SOURCES, {"type": kind, "of": of, **keys}, (), "data: source")
    document.raise_mistakes()
    source.open()
    assert isinstance(source, Combined)
    return source


def read(source: Combined, rows: Any) -> dict[str, list[Any]]:
    out = {name: empty(x, len(rows)) for name, x in source.fields.items()}
    source.read(np.asarray(rows), out)
    return {name: column.tolist() for name, column in out.items()}


def of_class(number: float) -> int:
    return LABELS[int(number)] if number < 10 else int(number) // 12


def refuses(error: type[Exception], words: str, kind: str = "pairs", **keys: Any) -> None:
    with pytest.raises(error, match=re.escape(words)):
        opened(kind, **keys)


def test_pairs_are_alike_and_not_by_turns() -> None:
    source = opened("pairs")
    assert isinstance(source, Pairs) and len(source) == 22 and list(source.fields) == ["data", "data_p", "sim"]
    assert {split: (rows[0], len(rows)) for split, rows in source.splits.items()} == {"train": (0, 14), "test": (14, 8)}
    made = read(source, range(22))
    assert made["data"] == [n for n in (0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13) for _ in range(2)] and made["sim"] == [1, 0] * 11
    for a, b, sim in zip(made["data"], made["data_p"], made["sim"], strict=True):
        assert a != b and (a < 10) == (b < 10) and (of_class(a) == of_class(b)) == sim
    assert source.classes == {"sim": 2} and source.names == {"sim": ["different", "alike"]}


@pytest.mark.parametrize(("each", "expected"), [(1, [1, 0, 1, 0, 1, 0, 1]), (3, [1, 0, 1] * 7), (4, [1, 0, 1, 0] * 7)])
def test_how_many_pairs_a_sample_opens(each: int, expected: list[int]) -> None:
    source = opened("pairs", each=each)
    assert read(source, source.splits["train"])["sim"] == expected


def test_the_test_split_begins_its_turns_anew() -> None:
    source = opened("pairs", each=1)
    made = read(source, [7, 8, 2])
    assert made["sim"] == [1, 0, 1] and made["data"] == [10, 11, 2]


def test_triplets() -> None:
    source = opened("triplets", each=2)
    assert isinstance(source, Triplets) and list(source.fields) == ["anchor", "positive", "negative"] and len(source) == 22
    made = read(source, range(22))
    for a, p, n in zip(made["anchor"], made["positive"], made["negative"], strict=True):
        assert a != p and of_class(a) == of_class(p) != of_class(n) and (a < 10) == (p < 10) == (n < 10)


def test_partners_are_equally_likely() -> None:
    source = opened("triplets", each=4000)
    made = read(source, range(4000))  # of sample 0, whose class has also 2 and 5
    assert set(made["anchor"]) == {0}
    positive, negative = Counter(made["positive"]), Counter(made["negative"])
    assert set(positive) == {2, 5} and set(negative) == {1, 3, 4, 6}
    assert all(abs(count / 2000 - 1) < 0.08 for count in positive.values())
    assert all(abs(count / 1000 - 1) < 0.12 for count in negative.values())


def test_a_function_of_seed_and_index() -> None:
    assert read(opened("pairs"), [3, 9])["data_p"] == [read(opened("pairs"), range(14))["data_p"][n] for n in (3, 9)]
    assert read(opened("triplets"), range(7)) != read(opened("triplets", seed=2), range(7))


def test_another_label() -> None:
    made = read(opened("pairs", label="other"), range(14))
    assert all((a % 2 == b % 2) == sim for a, b, sim in zip(*made.values(), strict=True))


def test_a_source_of_files_is_read_one_by_one_and_only_what_is_wanted() -> None:
    within = OneByOne(count=9, height=2)
    source = Pairs(of=within)
    feed = Feed(DataKeys(source=source, batch_size=4, shuffle=None), 1)
    feed.open()
    assert source.one_by_one and within.reads == 0  # labels are known without their data
    found = source.sample(2, ("sim", "data_p"))  # of sample 1, and one that is alike
    assert found.keys() == {"sim", "data_p"} and found["sim"] == 1 and within.reads == 1
    assert int(found["data_p"][0, 0, 0]) in (4, 7)
    assert source.identify(0).startswith("0.png and ")
    batch = feed.train_batch_now(0)
    assert batch["data"].shape == batch["data_p"].shape == (4, 1, 2, 2)
    feed.close()


def test_a_source_that_keeps_arrays_can_be_asked_for_one() -> None:
    source = opened("triplets")
    assert not source.one_by_one and source.sample(3, ("anchor",))["anchor"] == 3


def test_sources_that_cannot_be_paired() -> None:
    np.savez("plain.npz", data=np.arange(4.0))
    refuses(
        Refusal, "pairs: arrays has no classes, and so nobody knows what is alike", of={"type": "arrays", "file": "plain.npz"}
    )
    refuses(Refusal, "pairs: 'kind' is no class of arrays; it has label, other", label="kind")
    np.savez("one.npz", data=np.arange(3.0), label=[5, 5, 5])
    refuses(DataError, "triplets: train has one class only ('label' is 5); it takes two to tell what is not alike", "triplets",
            of={"type": "arrays", "file": "one.npz"})  # fmt: skip
    np.savez("lone.npz", data=np.arange(3.0), label=[5, 5, 7])
    for kind in ("pairs", "triplets"):
        refuses(DataError, f"{kind}: train has one sample only whose 'label' is 7; give it another like it, or leave it out", kind,
                of={"type": "arrays", "file": "lone.npz"})  # fmt: skip


def test_a_refusal_from_within_keeps_its_place() -> None:
    within = {"type": "generated", "task": "two_moons", "gap": 3}
    with pytest.raises(Refusal, match="gap is not for this") as caught:
        opened("pairs", of=within)
    assert caught.value.key == "source.of.gap"


def test_one_file_for_predict() -> None:
    with pytest.raises(DataError, match="arrays has no files of one sample each"):
        opened("pairs").load(Path("x"))
