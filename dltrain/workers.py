"""Workers: batches made ahead of time by threads; a dead or a slow one never hangs the run."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from dltrain.errors import DataError

T = TypeVar("T")

SLOW = 10.0  # seconds after which a wait is told


class Workers(Generic[T]):
    """Threads that work ahead: `ask` for numbers in the order in which they will be wanted, `take` what was made of one.

    They are daemons: one that hangs in a read is left behind when the run ends, and never waited for.
    """

    def __init__(
        self, makers: list[Callable[[int], T]], timeout: float, at: Callable[[], str], note: Callable[[str], None]
    ) -> None:
        """A thread a maker; `at` tells what is being read, for those who wait."""
        self.timeout, self.at, self.note = timeout, at, note
        self.change = threading.Condition()
        self.asked: deque[int] = deque()
        self.begun: set[int] = set()
        self.made: dict[int, T | BaseException] = {}
        self.over = False
        self.waited = 0.0  # seconds that `take` has waited in all
        for number, make in enumerate(makers):
            threading.Thread(target=self.work, args=(make,), name=f"batches {number}", daemon=True).start()

    def work(self, make: Callable[[int], T]) -> None:
        while True:
            with self.change:
                self.change.wait_for(lambda: self.asked or self.over)
                if self.over:
                    return
                number = self.asked.popleft()
                self.begun.add(number)
            try:
                made: T | BaseException = make(number)
            except BaseException as error:  # it is told to whoever takes this number
                made = error
            with self.change:
                if number in self.begun:
                    self.begun.remove(number)
                    self.made[number] = made
                    self.change.notify_all()

    def ask(self, number: int) -> None:
        with self.change:
            if number not in self.begun and number not in self.made and number not in self.asked:
                self.asked.append(number)
                self.change.notify()

    def forget(self, below: int) -> None:
        """What was asked for and will not be taken; what is being made of it is thrown away when it comes."""
        with self.change:
            self.asked = deque(number for number in self.asked if number >= below)
            self.begun = {number for number in self.begun if number >= below}
            self.made = {number: made for number, made in self.made.items() if number >= below}

    def take(self, number: int) -> T:
        """What was made of a number; waits for it, but not for ever."""
        self.ask(number)
        began = time.perf_counter()
        with self.change:
            if not self.change.wait_for(lambda: number in self.made, min(SLOW, self.timeout)):
                self.wait(number, began)
            made = self.made.pop(number)
        self.waited += time.perf_counter() - began
        if isinstance(made, BaseException):
            raise made
        return made

    def wait(self, number: int, began: float) -> None:
        """A long wait: told once, then ended by the timeout."""
        left = self.timeout - (time.perf_counter() - began)
        if left > 0:
            self.note(f"waiting for data: {self.at()}")
            if self.change.wait_for(lambda: number in self.made, left):
                return
        raise DataError(f"data: nothing came for {self.timeout:g} s: {self.at()}; mend it, or give data.timeout more time")

    def close(self) -> None:
        with self.change:
            self.over = True
            self.change.notify_all()
