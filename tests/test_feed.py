"""The feed: every epoch a permutation, no sample lost at its end, and each batch a pure function of the seed and its number."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.errors import Refusal
from dltrain.feed import Feed
from dltrain.fields import Span, span
from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.sections import DataKeys
from dltrain.sections import Part as HoldOut
from dltrain.source import Source
from dltrain.splits import spread_classes
from dltrain.tensor import Shape


class Numbered(Source):
    """`count` samples whose data say their own number; as many more for val and test as are asked for."""

    def __init__(self, count: int, val: int = 0, test: int = 0, shape: tuple[int, ...] = (1,)) -> None:
        self.counts, self.shape = {"train": count, "val": val, "test": test}, shape

    def open(self) -> None:
        starts = np.cumsum([0, *self.counts.values()])
        self.splits = {
            name: np.arange(start, start + count) for (name, count), start in zip(self.counts.items(), starts) if count
        }
        self.fields = {"data": Shape(self.shape), "label": Shape((), "index")}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def read(self, indices: Any, out: Any) -> None:
        indices = np.asarray(indices)
        if "data" in out:
            out["data"][...] = indices.reshape(-1, *[1] * len(self.shape)) + 0.001 * np.arange(np.prod(self.shape)).reshape(
                self.shape
            )
        if "label" in out:
            out["label"][...] = indices % 3


Numbered.type = "numbered"  # type: ignore[misc]


def feed(count: int, size: int, seed: int = 1, source: Source | None = None, shape: tuple[int, ...] = (1,), **keys: Any) -> Feed:
    made = Feed(DataKeys(source=source or Numbered(count, shape=shape), batch_size=size, **keys), seed)
    made.open()
    return made


def steps(*words: tuple[str, dict[str, Any]]) -> list[Any]:
    return [TRANSFORMS[name](**keys) for name, keys in words]


def numbers(batch: Any) -> list[int]:
    return [int(value) for value in batch["data"].reshape(len(batch["data"]), -1)[:, 0]]


def same(one: Any, other: Any) -> bool:
    return set(one) == set(other) and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


# --- the stream of training ---
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 30), st.integers(1, 70), st.integers(0, 9))
def test_each_epoch_is_a_permutation_and_batches_are_cut_from_their_stream(count: int, size: int, seed: int) -> None:
    made = feed(count, size, seed)
    batches = ceil(4 * count / size)
    stream = [number for k in range(batches) for number in numbers(made.train_batch_now(k))]
    assert len(stream) == batches * size
    for epoch in range(4):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))
        assert stream[epoch * count : (epoch + 1) * count] == list(made.order.of(epoch))


def test_no_sample_is_lost_at_the_end_of_an_epoch() -> None:
    made = feed(10, 4)
    stream = [numbers(made.train_batch(k)) for k in range(5)]  # the third batch straddles
    assert [len(batch) for batch in stream] == [4] * 5
    assert Counter(number for batch in stream for number in batch) == Counter(dict.fromkeys(range(10), 2))
    made.close()


def test_orders_differ_from_epoch_to_epoch_and_from_seed_to_seed() -> None:
    orders = [tuple(feed(50, 4, seed).order.of(epoch)) for seed in (1, 2) for epoch in (0, 1, 2)]
    assert len(set(orders)) == 6
    assert orders[0] == tuple(feed(50, 9, 1).order.of(0))


def test_fields_of_a_sample_stay_together() -> None:
    made = feed(17, 5)
    for k in range(12):
        batch = made.train_batch_now(k)
        assert (batch["label"] == np.array(numbers(batch)) % 3).all()
        assert (batch["data"].dtype, batch["label"].dtype) == (np.float32, np.int32)


def drawn() -> Feed:
    """A feed whose batches are drawn in every way: order, crop, mirror."""
    return feed(23, 6, shape=(1, 5, 4), transform=steps(("crop", {"size": (3,)}), ("mirror", {}), ("scale", {"value": 0.5})))


def test_a_batch_is_a_function_of_its_number_alone() -> None:
    """Whatever was asked for before, in whatever order, ahead or again."""
    right = drawn()
    wanted = [right.train_batch_now(k) for k in range(20)]
    order = list(range(20)) * 2
    random.Random(4).shuffle(order)
    for ask in ("train_batch", "train_batch_now"):
        made = drawn()
        assert all(same(getattr(made, ask)(k), wanted[k]) for k in order)
        made.close()


def test_any_number_of_workers_make_the_same_batches() -> None:
    right = drawn()
    order = list(range(60)) * 3
    random.Random(5).shuffle(order)
    wanted = {k: right.train_batch_now(k) for k in range(60)}
    made = drawn()
    with ThreadPoolExecutor(8) as workers:
        found = list(workers.map(made.train_batch_now, order))
    assert all(same(batch, wanted[k]) for k, batch in zip(order, found))


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_workers_far_apart_do_not_take_each_others_orders_away() -> None:
    made, wanted = feed(23, 6), feed(23, 6)
    orders = {epoch: wanted.order.of(epoch) for epoch in range(40)}
    epochs = list(orders) * 40
    random.Random(6).shuffle(epochs)
    with ThreadPoolExecutor(8) as workers:
        found = list(workers.map(made.order.of, epochs))
    assert all((order == orders[epoch]).all() for epoch, order in zip(epochs, found))


def test_one_batch_is_not_changed_by_making_the_next() -> None:
    made = feed(10, 4)
    first = made.train_batch(0)
    before = {name: array.copy() for name, array in first.items()}
    for k in range(1, 6):
        made.train_batch(k)
    assert same(first, before)
    made.close()


def test_an_error_in_the_background_comes_to_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = feed(10, 4)

    def read(indices: Any, out: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(made.source, "read", read)
    with pytest.raises(OSError, match="the disk is gone"):
        made.train_batch(0)
    made.close()


# --- a whole split ---
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 12))
def test_a_split_is_read_once_in_order_with_a_partial_last_batch(count: int, size: int) -> None:
    made = feed(5, 3, source=Numbered(5, val=count, test=2), val=HoldOut(batch_size=size))
    batches = [numbers(batch) for batch in made.batches("val")]
    assert [number for batch in batches for number in batch] == list(range(5, 5 + count))
    assert [len(batch) for batch in batches] == [size] * (count // size) + ([count % size] if count % size else [])


@pytest.mark.parametrize(("split", "wanted"), [("train", range(7)), ("val", range(7, 12)), ("test", range(12, 14))])
def test_each_split_has_its_own_samples(split: str, wanted: range) -> None:
    made = feed(7, 3, source=Numbered(7, val=5, test=2))
    assert [number for batch in made.batches(split) for number in numbers(batch)] == list(wanted)


def test_a_split_can_be_left_halfway_and_read_again() -> None:
    made = feed(7, 2, source=Numbered(7, val=5))
    halfway = made.batches("val")
    assert numbers(next(halfway)) == [7, 8]
    halfway.close()
    assert [numbers(batch) for batch in made.batches("val")] == [[7, 8], [9, 10], [11]]


def test_outside_training_nothing_is_random() -> None:
    made = feed(4, 2, source=Numbered(4, val=3, shape=(1, 5, 5)), transform=steps(("crop", {"size": (3,)}), ("mirror", {})))
    first, again = (list(made.batches("val")) for _ in range(2))
    assert all(same(one, other) for one, other in zip(first, again))
    centre = np.arange(25).reshape(5, 5)[1:4, 1:4] * 0.001
    np.testing.assert_allclose(first[0]["data"][0, 0] - 4, centre, atol=1e-6)
    train = next(made.batches("train"))  # a pass over train to score it is no training
    np.testing.assert_allclose(train["data"][1, 0] - 1, centre, atol=1e-6)


# --- what is random in training ---
def corners(made: Feed, epochs: int) -> dict[int, list[tuple[int, ...]]]:
    """Where each sample was cropped, epoch by epoch (and whether mirrored: the step between two columns)."""
    found: dict[int, list[tuple[int, ...]]] = {}
    count, size = len(made.splits["train"]), made.batch_size("train")
    for k in range(epochs * count // size):
        for image in made.train_batch_now(k)["data"][:, 0].astype(np.float64):
            number = int(image[0, 0] + 1e-4)
            found.setdefault(number, []).append(tuple(int(v) for v in np.round((image[0, :2] - number) * 1000)))
    return found


def test_crops_differ_between_epochs_and_between_samples_but_repeat_with_the_seed() -> None:
    transform = steps(("crop", {"size": (3,)}))
    found = corners(feed(20, 5, shape=(1, 8, 8), transform=transform), 6)
    assert found == corners(feed(20, 5, shape=(1, 8, 8), transform=transform), 6)
    assert found != corners(feed(20, 5, seed=2, shape=(1, 8, 8), transform=transform), 6)
    assert min(len(set(crops)) for crops in found.values()) > 1
    assert len({crops[0] for crops in found.values()}) > 8
    assert {crop[0] for crops in found.values() for crop in crops} <= {
        8 * row + column for row in range(6) for column in range(6)
    }


def test_a_crop_does_not_hang_on_the_batch_that_its_sample_is_in() -> None:
    transform = steps(("crop", {"size": (3,)}), ("mirror", {}))
    one, other = (corners(feed(20, size, shape=(1, 8, 8), transform=transform), 4) for size in (5, 16))
    assert one == other


def test_two_random_steps_draw_apart() -> None:
    transform = steps(("mirror", {}), ("mirror", {}))
    found = corners(feed(40, 8, shape=(1, 1, 4), transform=transform), 1)
    assert {crops[0] for crops in found.values()} == {(0, 1), (3, 2)}


def test_every_crop_and_mirror_image_comes_up() -> None:
    transform = steps(("crop", {"size": (3,)}), ("mirror", {}))
    found = Counter(crop for crops in corners(feed(100, 10, shape=(1, 4, 5), transform=transform), 6).values() for crop in crops)
    places = [5 * row + column for row in range(2) for column in range(3)]
    assert set(found) == {(at, at + 1) for at in places} | {(at + 2, at + 1) for at in places}
    assert all(20 < count < 90 for count in found.values())  # 50 expected


def test_a_step_for_one_phase_acts_there_alone() -> None:
    transform = steps(("scale", {"value": 2.0, "phase": "train"}), ("scale", {"value": 10.0, "phase": "test"}))
    made = feed(3, 3, source=Numbered(3, val=2), transform=transform)
    assert sorted(numbers(made.train_batch_now(0))) == [0, 2, 4]
    assert numbers(next(made.batches("val"))) == [30, 40]


def test_a_computed_mean_is_that_of_train_and_comes_back_from_a_snapshot() -> None:
    made = feed(5, 2, source=Numbered(5, val=3), transform=steps(("scale", {"value": 2.0}), ("mean", {"value": "channel"})))
    assert sorted(numbers(made.make(np.arange(5), np.zeros(5, int)))) == [-4, -2, 0, 2, 4]
    saved = made.state()
    assert set(saved) == {"1"}
    other = Feed(DataKeys(source=Numbered(9), transform=steps(("scale", {"value": 2.0}), ("mean", {"value": "channel"}))), 1)
    other.open(saved={"1": {name: array + 1 for name, array in saved["1"].items()}})
    assert numbers(other.make(np.arange(5)))[:3] == [-5, -3, -1]


def test_a_wrong_top_names_its_step() -> None:
    with pytest.raises(Refusal, match="there is no field 'labels'; .*label") as caught:
        feed(3, 2, transform=steps(("scale", {"value": 1.0}), ("scale", {"value": 1.0, "top": "labels"})))
    assert caught.value.key == "1.top"


def test_a_shape_that_differs_between_phases_is_refused() -> None:
    with pytest.raises(Refusal, match="'data' is 1 x 3 x 3 in train and 1 x 5 x 5 in test; both must be alike"):
        feed(3, 2, shape=(1, 5, 5), transform=steps(("crop", {"size": (3,), "phase": "train"})))


def test_shapes_are_those_after_the_transforms() -> None:
    made = feed(3, 2, shape=(1, 5, 5), transform=steps(("crop", {"size": (4, 3)})))
    assert (made.fields["data"], made.source.fields["data"]) == ((1, 4, 3), (1, 5, 5))
    assert made.train_batch_now(0)["data"].shape == (2, 1, 4, 3)


# --- classes in proportion ---
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
def test_any_first_part_of_the_ranking_holds_each_class_in_proportion(labels: list[int], data: st.DataObject) -> None:
    ranks, label = spread_classes(np.array(labels)), np.array(labels)
    count = data.draw(st.integers(0, len(labels)))
    first = label[np.argsort(ranks, kind="stable")[:count]]
    for one in set(labels):
        assert abs((first == one).sum() - count * (label == one).mean()) <= 1


# --- lengths of training ---
PER_EPOCH = st.builds(Fraction, st.integers(1, 5000), st.integers(1, 300))
SPANS = st.one_of(
    st.integers(1, 5000).map(Span), st.integers(1, 40).map(lambda n: Span(float(n), "epochs")),
    st.integers(1, 400).map(lambda n: Span(n / 10, "epochs")),
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(SPANS, PER_EPOCH)
def test_a_span_is_due_where_a_whole_number_of_them_has_just_been_completed(length: Span, per_epoch: Fraction) -> None:
    exact = Fraction(str(length.amount)) * (per_epoch if length.unit == "epochs" else 1)
    for iteration in [*range(1, 40), *(ceil(k * exact) + d for k in (1, 2, 3, 17) for d in (-1, 0, 1))]:
        if iteration >= 1:
            assert length.due(iteration, per_epoch) == (floor(iteration / exact) > floor((iteration - 1) / exact)), (
                iteration,
                exact,
            )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SPANS, PER_EPOCH)
def test_a_span_is_first_due_after_as_many_iterations_as_it_is_long(length: Span, per_epoch: Fraction) -> None:
    count = length.iterations(per_epoch)
    exact = Fraction(str(length.amount)) * (per_epoch if length.unit == "epochs" else 1)
    assert count == max(1, ceil(exact))
    assert length.due(count, per_epoch)
    assert exact < 1 or not any(length.due(iteration, per_epoch) for iteration in range(max(1, count - 50), count))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(1, 70))
def test_an_epoch_ends_at_the_first_iteration_by_which_its_last_sample_was_used(count: int, size: int) -> None:
    made = feed(count, size)
    assert made.per_epoch == Fraction(count, size)
    used = 0
    for iteration in range(1, 4 * ceil(made.per_epoch) + 1):
        before, used = used, used + size
        assert Span(1.0, "epochs").due(iteration, made.per_epoch) == (used // count > before // count)


@pytest.mark.parametrize(("amount", "due"), [  # 2.5 iterations an epoch
    (Span(1, "epochs"), [3, 5, 8, 10]), (Span(2, "epochs"), [5, 10]), (Span(0.5, "epochs"), [2, 3, 4, 5, 7, 8, 9, 10]),
    (Span(0.1, "epochs"), list(range(1, 11))), (Span(4), [4, 8]), (Span(1), list(range(1, 11))), (Span(11), []),
])  # fmt: skip
def test_by_hand(amount: Span, due: list[int]) -> None:
    assert [iteration for iteration in range(1, 11) if amount.due(iteration, Fraction(5, 2))] == due


def test_thirds_of_an_epoch_end_together_with_the_epoch() -> None:
    """0.1 epochs ten times is one epoch: binary fractions do not add up to late iterations."""
    for words, times in [("0.1 epochs", 10), ("0.2 epochs", 5), ("0.7 epochs", 10), ("0.3 epochs", 10)]:
        length, per_epoch = span(words), Fraction(1000)
        assert length.due(round(times * length.amount) * 1000, per_epoch)


def test_a_time_has_no_length_in_iterations() -> None:
    with pytest.raises(ValueError, match="a time has no length in iterations"):
        span("20 min").iterations(Fraction(5))


# --- real sources ---
def test_digits_are_fed_whole() -> None:
    made = Feed(DataKeys(source=SOURCES["digits"](), batch_size=100), 1)
    made.open()
    assert made.per_epoch == Fraction(1257, 100)
    seen = Counter(int(label) for batch in made.batches("test") for label in batch["label"])
    assert sum(seen.values()) == 360 and set(seen) == set(range(10))
    stream = np.concatenate([made.train_batch_now(k)["data"] for k in range(13)])[:1257]
    wanted = made.make(made.splits["train"])["data"]
    np.testing.assert_array_equal(np.sort(stream.reshape(1257, -1).sum(1)), np.sort(wanted.reshape(1257, -1).sum(1)))


def test_hold_out_partitions_any_source() -> None:
    for amount in (3, 0.2):
        made = feed(30, 4, source=Numbered(30, test=5), val=HoldOut(hold_out=amount))
        parts = {name: set(rows.tolist()) for name, rows in made.splits.items()}
        assert parts["train"] | parts["val"] == set(range(30)) and not parts["train"] & parts["val"]
        assert parts["test"] == set(range(30, 35))
        assert len(parts["val"]) == (3 if amount == 3 else 6)
