"""What happens around the updates: display, test, best weights, early stopping, snapshot, signals.  A small class each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

from dltrain.config import Config
from dltrain.console import Console, scores_text
from dltrain.engine import Engine
from dltrain.errors import Diverged
from dltrain.evaluate import evaluate
from dltrain.forensics import first_bad_layer
from dltrain.progress import Best, Progress
from dltrain.run import Run
from dltrain.saving import save
from dltrain.sections import EarlyStopping

LOOKS = 64  # iterations between two looks at a device that works on while the loop goes on


class Sitting:
    """All that one sitting of a run works with."""

    def __init__(self, config: Config, engine: Engine, run: Run, progress: Progress, console: Console) -> None:
        self.config, self.engine, self.run, self.progress, self.console = config, engine, run, progress, console
        self.feed = config.feed
        self.train_batches: Callable[[int, int], list[dict[str, Any]]] = self.from_feed
        self.horizon = replace(config.horizon, history=progress.history, higher=config.net.scores())
        self.began = time.monotonic() - progress.seconds
        self.saved_at = -1
        self.tested_at = -1
        self.unread: list[Mapping[str, float]] = []  # losses of steps that have not been looked at

    def from_feed(self, first: int, count: int) -> list[dict[str, Any]]:
        """Some batches of the endless stream."""
        return [self.feed.train_batch(number) for number in range(first, first + count)]

    @property
    def until_due(self) -> int:
        """How many iterations there are up to the next that something is due after."""
        loop, now, per_epoch = self.config.loop, self.progress.iteration, self.horizon.per_epoch
        spans = [spec.interval for spec in (loop.display, loop.test, loop.snapshot) if spec is not None]
        ends = [span.next(now, per_epoch) for span in spans if span.unit != "seconds"]
        return max(1, min([*ends, self.horizon.max_iter or now + LOOKS]) - now)

    def settle(self) -> None:
        """Adds up the losses that have not been looked at; stops a run that has failed."""
        stop_if_failed(self)
        for losses in self.unread:
            self.progress.shown_loss += total(self.engine, losses)
            self.progress.shown_count += 1
        self.unread.clear()

    @property
    def epoch(self) -> float:
        return float(self.progress.iteration / self.horizon.per_epoch)

    @property
    def columns(self) -> list[str]:
        scores = (
            [f"{self.config.watched}.{name}" for name in self.engine.net.scores()]
            if self.config.watched in self.feed.splits
            else []
        )
        return ["iteration", "epoch", "lr", "train.loss", *scores]

    def row(self, **values: float) -> None:
        at = {"iteration": self.progress.iteration, "epoch": f"{self.epoch:.4f}"}
        self.run.metrics(self.columns, {**at, **{name.replace("__", "."): repr(value) for name, value in values.items()}})


class Hook(Protocol):
    """Called after an update, or after several at once, with the losses of each; sets progress.reason to end the run."""

    def __call__(self, sitting: Sitting, losses: Sequence[Mapping[str, float]], lr: float) -> None: ...


def stop_if_failed(sitting: Sitting) -> None:
    """Ends a run whose loss or gradient is not finite, and names the first bad layer."""
    if sitting.engine.has_failed:
        progress = sitting.progress
        progress.iteration -= sitting.engine.steps_since_failure
        where = first_bad_layer(sitting.engine, sitting.feed, progress)
        sitting.run.event("diverged", iteration=progress.iteration, where=where)
        good = sitting.run.snapshots()
        last = f"; the last good snapshot is {good[-1]}" if good else ""
        raise Diverged(f"iteration {progress.iteration}: {where}; try a smaller base_lr or clip_gradients{last}")


class Guard:
    """Looks whether a step has failed: at once where that is known at once, else now and then."""

    def __call__(self, sitting: Sitting, losses: Sequence[Mapping[str, float]], lr: float) -> None:
        now = sitting.progress.iteration
        if not sitting.engine.is_late or now // LOOKS > (now - len(losses)) // LOOKS:
            stop_if_failed(sitting)


class Display:
    """The mean loss since the last display, as a row of metrics.csv and a line (or the bar's words).

    The share of the time that was spent waiting for data stands behind it where it is 1 % at least; events.jsonl has the seconds.
    """

    def __init__(self) -> None:
        self.last, self.waited, self.skipped = time.monotonic(), 0.0, 0

    def __call__(self, sitting: Sitting, losses: Sequence[Mapping[str, float]], lr: float) -> None:
        self.tell_skipped(sitting)
        progress, spec = sitting.progress, sitting.config.loop.display
        sitting.unread += losses
        if not sitting.engine.is_late or len(sitting.unread) >= LOOKS:
            sitting.settle()
        words = ""
        if spec is not None and spec.interval.due(progress.iteration, sitting.horizon.per_epoch):
            sitting.settle()
            mean = progress.shown_loss / progress.shown_count
            progress.shown_loss, progress.shown_count = 0.0, 0
            sitting.row(lr=lr, train__loss=mean)
            words = f"epoch {sitting.epoch:.2f}  loss {mean:.4f}  lr {lr:.3g}{self.data(sitting)}"
            sitting.console.line(progress.iteration, sitting.horizon.max_iter, words)
        sitting.console.advance(words, len(losses))

    def data(self, sitting: Sitting) -> str:
        """How much of the time since the last display was spent waiting for data, in words."""
        now, waited = time.monotonic(), sitting.feed.waited
        spent, share = now - self.last, waited - self.waited
        self.last, self.waited = now, waited
        sitting.run.event("display", iteration=sitting.progress.iteration, seconds=round(spent, 3), waited=round(share, 3))
        percent = round(100 * share / spent) if spent > 0 else 0
        return f"  data {min(percent, 100)} %" if percent >= 1 else ""

    def tell_skipped(self, sitting: Sitting) -> None:
        """Samples that could not be read and are left out: the newest is named."""
        skipped = sitting.feed.reader.skipped
        if len(skipped) > self.skipped:
            self.skipped = len(skipped)
            why = list(skipped.values())[-1]
            sitting.console.note(f"note    {self.skipped:,} sample{'s' * (self.skipped > 1)} left out so far; the last: {why}")
            sitting.run.event("skipped", iteration=sitting.progress.iteration, samples=self.skipped, last=why)


def total(engine: Engine, losses: Mapping[str, float]) -> float:
    return sum(line.weight * losses[line.name] for line in engine.net.lines if line.name in losses)


class Test:
    """Scores the watched split; keeps the best weights; tells early stopping."""

    def __call__(self, sitting: Sitting, losses: Sequence[Mapping[str, float]], lr: float) -> None:
        spec = sitting.config.loop.test
        if spec is not None and spec.interval.due(sitting.progress.iteration, sitting.horizon.per_epoch):
            self.test(sitting)

    def test(self, sitting: Sitting) -> None:
        sitting.settle()
        progress, split = sitting.progress, sitting.config.watched
        scores = {f"{split}.{name}": value for name, value in evaluate(sitting.engine, sitting.feed, split).items()}
        progress.history.append((progress.iteration, scores))
        sitting.tested_at = progress.iteration
        sitting.row(**{name.replace(".", "__"): value for name, value in scores.items()})
        sitting.console.note(f"iteration {progress.iteration}  epoch {sitting.epoch:.2f}  {scores_text(scores)}")
        best = progress.best
        if best is not None and best.improves(scores[best.score]):
            best.take(scores[best.score], progress.iteration)
            save(sitting.run.best, sitting.engine, sitting.config, progress)
        stopping = sitting.config.loop.early_stopping
        if stopping is not None and progress.early is not None:
            self.early(sitting, stopping, progress.early, scores)

    def early(self, sitting: Sitting, stopping: EarlyStopping, early: Best, scores: dict[str, float]) -> None:
        if early.improves(scores[early.score], stopping.min_delta):
            early.take(scores[early.score], sitting.progress.iteration)
        elif sitting.progress.iteration - early.iteration >= stopping.patience.iterations(sitting.horizon.per_epoch):
            sitting.progress.reason = "early_stopping"


class Snapshots:
    """A snapshot every interval; in seconds, by the clock of this sitting."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, sitting: Sitting, losses: Sequence[Mapping[str, float]], lr: float) -> None:
        spec = sitting.config.loop.snapshot
        if spec is None:
            return
        if spec.interval.unit == "seconds":
            due = time.monotonic() - self.last >= spec.interval.amount
        else:
            due = spec.interval.due(sitting.progress.iteration, sitting.horizon.per_epoch)
        if due:
            self.last = time.monotonic()
            self.save(sitting)

    @staticmethod
    def save(sitting: Sitting) -> None:
        """Writes the snapshot of this iteration, once, and lets old ones go."""
        progress = sitting.progress
        if sitting.saved_at == progress.iteration:
            return
        sitting.settle()
        progress.seconds = time.monotonic() - sitting.began
        save(sitting.run.at(progress.iteration), sitting.engine, sitting.config, progress)
        sitting.saved_at = progress.iteration
        spec = sitting.config.loop.snapshot
        sitting.run.prune(spec.keep if spec is not None else 1)
        sitting.run.event("snapshot", iteration=progress.iteration)


class Ends:
    """max_iter, max_epochs, max_time, and signals: the first asks to save and stop, the second quits at once."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.before = {number: signal.signal(number, self.receive) for number in (signal.SIGINT, signal.SIGTERM)}

    def receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            os._exit(130)
        self.signal = signal.Signals(number).name

    def restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __call__(self, sitting: Sitting, losses: Sequence[Mapping[str, float]], lr: float) -> None:
        progress, loop = sitting.progress, sitting.config.loop
        if self.signal is not None and progress.reason is None:
            progress.reason = "signal"
        elif loop.max_time is not None and time.monotonic() - sitting.began >= loop.max_time.amount:
            progress.reason = progress.reason or "max_time"
        if sitting.horizon.max_iter and progress.iteration >= sitting.horizon.max_iter:
            by_iter = (
                loop.max_iter is not None and loop.max_iter.iterations(sitting.horizon.per_epoch) == sitting.horizon.max_iter
            )
            progress.reason = progress.reason if progress.reason == "early_stopping" else "max_iter" if by_iter else "max_epochs"
