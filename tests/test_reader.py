"""Samples made one by one: kept, skipped, of different sizes, in threads and in processes that may die."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.errors import DataError, Refusal
from dltrain.feed import Feed
from dltrain.fields import Span
from dltrain.registry import TRANSFORMS
from dltrain.sections import DataKeys, Making, Part, Split
from dltrain.source import Step
from tests.fixtures.samples import OneByOne


def feed(source: OneByOne, size: int = 4, **keys: Any) -> Feed:
    made = Feed(DataKeys(source=source, batch_size=size, **keys), 1)
    made.open()
    return made


def numbers(batch: Any) -> list[int]:
    return [int(value) for value in batch["data"].reshape(len(batch["data"]), -1)[:, 0]]


def digest(batch: Any) -> str:
    return hashlib.sha256(b"".join(name.encode() + batch[name].tobytes() for name in sorted(batch))).hexdigest()


# --- different sizes ---
class Corner(Step):
    """y = x[:, :2, :2]"""

    type = "corner"
    phase, top = None, None

    def setup(self, x: Any, training: Any) -> Any:
        return type(x)((x[0], 2, 2), x.dtype)

    def one(self, x: Any, u: Any) -> Any:
        return x[:, :2, :2]


class Whole(Step):
    """y = x, of whole batches only."""

    type = "whole"
    phase, top = None, None

    def apply(self, x: Any, draw: Any) -> Any:
        return x


def test_a_sample_that_a_step_cannot_take_is_named() -> None:
    class Picky(Corner):
        def one(self, x: Any, u: Any) -> Any:
            if x[0, 0, 0] == 6:
                raise DataError("corner: is too small")
            return super().one(x, u)

    with pytest.raises(DataError, match=r"^6\.png: corner: is too small"):
        list(feed(OneByOne(), transform=[Picky()]).batches("train"))


def test_samples_of_different_sizes_become_one_array_once_a_step_has_made_them_alike() -> None:
    made = feed(OneByOne(), transform=[Corner()])
    batch = made.train_batch(0)
    assert made.fields["data"] == (1, 2, 2)
    assert batch["data"].shape == (4, 1, 2, 2)
    assert (batch["data"].dtype, batch["label"].dtype) == (np.float32, np.int32)
    assert batch["label"].tolist() == [number % 3 for number in numbers(batch)]
    made.close()


def test_samples_that_still_differ_at_the_end_are_refused() -> None:
    with pytest.raises(Refusal, match=r"samples of 'data' differ in size .*; end with resize, crop or pad"):
        feed(OneByOne())


def test_a_step_over_whole_batches_needs_samples_of_one_size() -> None:
    with pytest.raises(Refusal, match="whole: samples of 'data' differ in size; put resize or crop before it") as caught:
        feed(OneByOne(), transform=[Whole(), Corner()])
    assert caught.value.key == "0."


# --- memory ---
def test_samples_are_kept_as_long_as_there_is_room() -> None:
    source = OneByOne(count=10, height=4)
    made = feed(source, 5, cache=5 * 20.0)  # 16 bytes and a label of 4
    first = [numbers(batch) for batch in made.batches("train")]
    assert [numbers(batch) for batch in made.batches("train")] == first
    assert source.reads == 10 + 5


def test_nothing_is_kept_unless_asked_for() -> None:
    source = OneByOne(count=10, height=4)
    made = feed(source, 5)
    assert [len(list(made.batches("train"))) for _ in range(2)] == [2, 2]
    assert source.reads == 20


def test_labels_are_read_without_the_pictures() -> None:
    source = OneByOne(count=9, height=4)
    made = feed(source, val=Part(hold_out=3))
    assert made.read(made.splits["val"], "label").tolist() in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    assert source.reads == 0


# --- what cannot be read ---
def test_a_sample_that_cannot_be_read_stops_the_run_by_its_name() -> None:
    made = feed(OneByOne(height=4, broken=(7,)))
    with pytest.raises(DataError, match=r"7\.png: is cut short"):
        list(made.batches("train"))


def test_skipped_samples_are_replaced_in_training_and_left_out_elsewhere() -> None:
    made = feed(OneByOne(count=10, height=4, broken=(7, 8)), 5, on_error="skip", val=None)
    seen = [number for k in range(2) for number in numbers(made.train_batch(k))]
    assert sorted(seen) == [0, 1, 2, 3, 4, 5, 6, 9, 9, 9]
    assert [numbers(batch) for batch in made.batches("train")] == [[0, 1, 2, 3, 4], [5, 6, 9]]
    assert made.reader.skipped.keys() == {7, 8}
    assert "is cut short" in made.reader.skipped[7]
    assert made.rows("train").tolist() == [0, 1, 2, 3, 4, 5, 6, 9]
    made.close()


def test_a_set_of_which_nothing_can_be_read_is_refused() -> None:
    made = feed(OneByOne(count=5, height=4, broken=tuple(range(5))), 5, on_error="skip")
    with pytest.raises(DataError, match="100 samples one after another cannot be read"):
        made.train_batch(0)
    with pytest.raises(DataError, match="none of 5 samples can be read"):
        list(made.batches("train"))
    made.close()


# --- threads and processes ---
def drawn(**workers: Any) -> Feed:
    """Order, crops and mirror images drawn; twenty batches' worth of epochs."""
    steps = [TRANSFORMS["crop"](size=(3,)), TRANSFORMS["mirror"]()]
    return feed(OneByOne(height=5), transform=steps, workers=Making(**workers), val=Part(hold_out=0.2))


def test_0_1_or_4_workers_make_the_same_batches_from_any_place_on() -> None:
    wanted = [digest(drawn(threads=0).train_batch(k)) for k in range(12)]
    assert len(set(wanted)) == 12
    for threads in (0, 1, 4):
        for start in (0, 7):  # as after a resume: nothing before it is read
            made = drawn(threads=threads)
            assert [digest(made.train_batch(k)) for k in range(start, 12)] == wanted[start:]
            assert isinstance(made.source, OneByOne)
            assert made.source.reads <= 4 * (12 - start + 6)
            made.close()


def test_processes_make_the_same_batches() -> None:
    right, made = drawn(threads=0), drawn(processes=2)
    try:
        for k in (0, 1, 5, 6):
            assert digest(made.train_batch(k)) == digest(right.train_batch(k))
        assert [digest(b) for b in made.batches("val")] == [digest(b) for b in right.batches("val")]
        assert isinstance(made.source, OneByOne)
        assert made.source.reads == 0
    finally:
        made.close()


def test_an_error_in_a_process_is_told_by_the_sample() -> None:
    made = feed(OneByOne(height=4, broken=(3,)), workers=Making(processes=1))
    try:
        with pytest.raises(DataError, match=r"3\.png: is cut short"):
            list(made.batches("train"))
        assert numbers(made.make(np.arange(3))) == [0, 1, 2]
    finally:
        made.close()


def test_what_a_process_skips_is_counted_here() -> None:
    made = feed(OneByOne(height=4, broken=(3, 9)), workers=Making(processes=1), on_error="skip")
    try:
        assert sum(len(batch["data"]) for batch in made.batches("train")) == 18
        assert made.reader.skipped.keys() == {3, 9}
    finally:
        made.close()


def test_a_process_that_dies_is_told_with_what_it_read() -> None:
    made = feed(OneByOne(height=4, deadly=(6,)), workers=Making(processes=1))
    try:
        with pytest.raises(DataError, match=r"a worker process died \(signal 9\) at 6\.png; the machine may be short of memory"):
            list(made.batches("train"))
    finally:
        made.close()


def test_a_process_that_hangs_is_named() -> None:
    made = feed(OneByOne(height=4, slow=(5,)), workers=Making(processes=1), timeout=Span(1.0, "seconds"))
    try:
        assert numbers(made.makers("train")[0](0)) == [0, 1, 2, 3]  # it has started
        with pytest.raises(DataError, match=r"nothing came for 1 s: process 0: 5\.png"):
            list(made.batches("train"))
    finally:
        made.close()


# --- shares ---
def test_processes_of_one_run_share_each_batch() -> None:
    whole = feed(OneByOne(height=4))
    parts = []
    for rank in range(2):
        part = Feed(DataKeys(source=OneByOne(height=4), batch_size=4), 1, (rank, 2))
        part.open()
        parts.append(part)
    for k in range(7):
        assert numbers(whole.train_batch_now(k)) == [n for part in parts for n in numbers(part.train_batch_now(k))]


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(Refusal, match="batch_size 4 cannot be shared by 3 processes"):
        Feed(DataKeys(source=OneByOne(height=4), batch_size=4), 1, (0, 3)).open()


# --- what is taken out of train ---
def taken(**said: Any) -> dict[str, list[int]]:
    made = feed(OneByOne(height=4), **{name: Part(**words) for name, words in said.items()})
    return {name: rows.tolist() for name, rows in made.splits.items()}


def test_where_goes_by_what_is_known_of_a_sample() -> None:
    found = taken(test={"where": "take < 1 and who == 'a'"}, val={"where": "label == 1 and take == 4"})
    assert found == {"test": [0, 10], "val": [4, 19], "train": [n for n in range(20) if n not in (0, 10, 4, 19)]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tkae < 5", "there is no 'tkae' to go by; files has take, who, label"),
        ("take <", "is no expression"),
        ("who < 5", "mixes"),
    ],
)
def test_where_that_cannot_be(words: str, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        taken(test={"where": words})
    assert caught.value.key == "test.where"


def test_folds_part_the_samples_evenly() -> None:
    folds = [taken(val={"fold": fold, "of": 5})["val"] for fold in range(1, 6)]
    assert sorted(n for fold in folds for n in fold) == list(range(20))
    assert {len(fold) for fold in folds} == {4}
    assert all(len({n % 3 for n in fold}) == 3 for fold in folds)


def test_a_range_counts_the_training_samples() -> None:
    assert taken(val={"range": (15, 20)})["val"] == list(range(15, 20))
    with pytest.raises(Refusal, match=r"val: \[15, 21\) is not within the 20 training samples"):
        taken(val={"range": (15, 21)})


def test_ranges_of_several_splits_count_in_the_same_train() -> None:
    found = taken(val={"range": (10, 15)}, test={"range": (15, 20)})
    assert (found["val"], found["test"], found["train"]) == (list(range(10, 15)), list(range(15, 20)), list(range(10)))
    with pytest.raises(Refusal, match=r"test: range takes 14\.png, which another split has taken") as caught:
        taken(val={"range": (10, 15)}, test={"range": (14, 20)})
    assert caught.value.key == "test.range"


def test_a_list_names_places_or_samples(tmp_path: Path) -> None:
    places, names, wrong = (tmp_path / name for name in ("places", "names", "wrong"))
    places.write_text("# the last ones\n19\n3\n")
    names.write_text("4.png\n5.png\n")
    wrong.write_text("4.png\n5.pgn\n")
    found = taken(val={"list": str(places)}, test={"list": str(names)})
    assert (found["val"], found["test"]) == ([3, 19], [4, 5])
    with pytest.raises(DataError, match=r"wrong: sample 2, '5\.pgn', is not in train; did you mean '5\.png'\?"):
        taken(val={"list": str(wrong)})
    with pytest.raises(DataError, match=r"none: cannot be read"):
        taken(val={"list": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"hold_out": 3.0, "range": (0, 5)}, "takes samples by hold_out already; leave one of them out"),
        ({"fold": 1}, r"fold and of go together: \{fold: 1, of: 5\}"),
        ({"fold": 6, "of": 5}, "is 6 of 5; folds count from 1"),
    ],
)
def test_ways_that_do_not_go_together(said: dict[str, Any], message: str) -> None:
    with pytest.raises(Refusal, match=message):
        taken(val=said)


def test_a_split_that_takes_everything_leaves_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="data: val: where of 20 training samples leaves one side empty"):
        taken(val={"where": "take >= 0"})


# --- a source of its own ---
def test_a_split_may_have_a_source_of_its_own() -> None:
    made = feed(OneByOne(height=4), test=Part(source=OneByOne(count=3, height=4)), train=Split(batch_size=5))
    assert {name: len(rows) for name, rows in made.splits.items()} == {"train": 20, "test": 3}
    assert [numbers(batch) for batch in made.batches("test")] == [[0, 1, 2]]
    assert made.source.identify(22) == "2.png"
    assert made.train_batch(0)["data"].shape == (5, 1, 4, 4)
    made.close()


def test_sources_of_one_config_must_be_alike() -> None:
    with pytest.raises(DataError, match=r"'data' is float 1 x 4 x 4 in data\.source and float 1 x 5 x 5 in data\.test\.source"):
        feed(OneByOne(height=4), test=Part(source=OneByOne(height=5)))


def test_a_split_may_have_steps_of_its_own() -> None:
    scale = TRANSFORMS["scale"]
    made = feed(OneByOne(height=4), transform=[scale(value=2.0)], val=Part(range=(0, 4), transform=[scale(value=3.0)]))
    assert numbers(next(made.batches("val"))) == [0, 3, 6, 9]
    assert numbers(next(made.batches("train"))) == [8, 10, 12, 14]
    with pytest.raises(Refusal, match="'data' is 1 x 4 x 4 in train and 1 x 2 x 2 in val; both must be alike"):
        feed(OneByOne(height=4), val=Part(range=(0, 4), transform=[TRANSFORMS["crop"](size=(2,))]))


def test_the_time_that_the_loop_makes_batches_itself_is_waiting() -> None:
    made = feed(OneByOne(height=4), workers=Making(threads=0))
    made.train_batch(0)
    assert made.waited > 0


def test_a_sample_that_was_read_in_part_is_kept_whole_once_it_is_read_whole() -> None:
    source = OneByOne(count=10, height=4)
    made = feed(source, 5, cache=1000.0, val=Part(hold_out=2))  # the labels have been read alone
    for _ in range(3):
        list(made.batches("train"))
    assert source.reads == 8


def test_folds_hold_each_class_in_proportion() -> None:
    for fold in range(1, 6):
        held = np.array(feed(OneByOne(count=90, height=4), val=Part(fold=fold, of=5)).splits["val"])
        assert np.bincount(held % 3).tolist() == [6, 6, 6]


def test_what_test_takes_does_not_hang_on_val() -> None:
    alone, both = taken(test={"hold_out": 4.0}), taken(val={"hold_out": 5.0}, test={"hold_out": 4.0})
    assert alone["test"] == both["test"]


def test_the_source_knows_what_is_enough_before_anything_is_read() -> None:
    source = OneByOne()
    seen: list[Any] = []
    source.sample = lambda index, wanted: seen.append(source.least) or OneByOne.sample(source, index, wanted)  # type: ignore[method-assign]
    feed(source, transform=[TRANSFORMS["resize"](size=(2,)), TRANSFORMS["mean"](value="channel")])
    assert set(seen) == {(2, 2)}
