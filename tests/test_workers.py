"""Workers: batches come in the order in which they are asked for, and nothing that goes wrong there hangs the run."""

from __future__ import annotations

import threading
import time

import pytest

from dltrain import workers as module
from dltrain.errors import DataError
from dltrain.workers import Workers


def crew(make: object, count: int = 3, timeout: float = 5.0, notes: list[str] | None = None) -> Workers[int]:
    told = notes if notes is not None else []
    return Workers([make] * count, timeout, lambda: "reading b.jpg", told.append)  # type: ignore[list-item]


def test_each_number_is_made_once_and_taken_by_whoever_asks() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number * number

    some = crew(make)
    for number in range(20):
        for coming in range(number, number + 4):
            some.ask(coming)
        assert some.take(number) == number * number
    assert sorted(made)[:20] == list(range(20))
    assert len(made) == len(set(made))
    some.close()


def test_threads_work_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=5)

    def make(number: int) -> int:
        meeting.wait()
        return number

    some = crew(make)
    for number in range(3):
        some.ask(number)
    assert [some.take(number) for number in range(3)] == [0, 1, 2]
    some.close()


def test_an_error_is_told_to_whoever_takes_that_number() -> None:
    def make(number: int) -> int:
        if number == 1:
            raise DataError("a.jpg: is cut short")
        return number

    some = crew(make)
    for number in range(3):
        some.ask(number)
    assert some.take(0) == 0
    with pytest.raises(DataError, match=r"a\.jpg: is cut short"):
        some.take(1)
    assert some.take(2) == 2
    some.close()


def test_a_worker_that_hangs_is_named_and_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW", 0.05)
    released = threading.Event()
    notes: list[str] = []
    some = crew(lambda number: released.wait(20) or 0, 1, 0.2, notes)
    with pytest.raises(
        DataError, match=r"data: nothing came for 0\.2 s: reading b\.jpg; mend it, or give data\.timeout more time"
    ):
        some.take(0)
    assert notes == ["waiting for data: reading b.jpg"]
    some.close()
    released.set()


def test_a_wait_that_ends_is_told_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW", 0.05)
    notes: list[str] = []
    some = crew(lambda number: time.sleep(0.2) or 7, 1, 20, notes)
    assert some.take(0) == 7
    assert notes == ["waiting for data: reading b.jpg"]
    assert some.waited >= 0.15
    some.close()


def test_what_is_forgotten_is_made_anew_when_asked_again() -> None:
    some = crew(lambda number: number, 1)
    some.ask(0)
    assert some.take(1) == 1
    some.forget(5)
    assert some.take(0) == 0
    some.close()


def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    some = crew(lambda number: number, 4)
    mine = set(threading.enumerate()) - before
    assert len(mine) == 4
    some.take(0)
    some.close()
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()
