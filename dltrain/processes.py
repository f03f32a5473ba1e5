"""Batches made in another process, for sources and transforms that hold Python's lock: a proxy here, a feed of its own there."""

from __future__ import annotations

import multiprocessing
import threading
import traceback
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

import numpy as np

from dltrain.errors import DataError, DltrainError
from dltrain.source import Arrays

Job = tuple[str | None, int]  # a batch of a split by its number; None: of the stream of training


class Remote:
    """A worker process: `make(job)` asks it for a batch and waits; a DataError tells when it has died.

    The batch comes through memory that both share, grown as it needs; the pipe carries words only.
    """

    def __init__(self, begin: Callable[[], Any], skipped: dict[int, str]) -> None:
        """`skipped` is filled with what could not be read there."""
        self.skipped = skipped
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads and their locks
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, begin), daemon=True)
        self.process.start()
        theirs.close()
        self.at = "starting"
        self.closed = False
        self.lock = threading.Lock()  # training and a test may both ask
        self.memory: shared_memory.SharedMemory | None = None

    def make(self, job: Job) -> Arrays:
        with self.lock:
            if self.closed:
                raise DataError("data: the worker processes have been closed")
            return self.made(job)

    def made(self, job: Job) -> Arrays:
        try:
            self.pipe.send(job)
            while True:
                word, said = self.pipe.recv()
                if word == "at":
                    self.at = said
                elif word == "skipped":
                    self.skipped.update(said)
                elif word == "failed":
                    raise said
                elif word == "need":
                    self.pipe.send(self.grown(said))
                else:
                    return self.copied(said)
        except (EOFError, OSError):
            self.process.join(1.0)
            code = self.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            way_out = "; the machine may be short of memory: fewer workers need less" if code == -9 else ""
            raise DataError(f"data: a worker process died ({how}) at {self.at}{way_out}") from None

    def grown(self, size: int) -> str:
        self.release()
        self.memory = shared_memory.SharedMemory(create=True, size=size)
        return self.memory.name

    def copied(self, layout: dict[str, tuple[tuple[int, ...], str, int]]) -> Arrays:
        assert self.memory is not None
        return {name: np.ndarray(shape, dtype, self.memory.buf, start).copy() for name, (shape, dtype, start) in layout.items()}

    def release(self) -> None:
        if self.memory is not None:
            self.memory.close()
            self.memory.unlink()
            self.memory = None

    def close(self) -> None:
        """Ends the process first: a thread that waits for it hears of that, and lets go of the pipe."""
        self.closed = True
        self.process.kill()
        self.process.join()
        with self.lock:
            self.pipe.close()
            self.release()


def serve(pipe: Any, begin: Callable[[], Any]) -> None:
    """The other side: makes what it is asked for until the pipe closes."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    maker, memory, held = None, None, 0
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            maker = maker or begin()
            batch = maker.make(job, lambda sample: pipe.send(("at", sample)))
        except DltrainError as error:
            pipe.send(("failed", type(error)(str(error))))
            continue
        except Exception as error:  # a bug, or a user's code: told with its traceback
            pipe.send(("failed", RuntimeError(f"in a worker process:\n{''.join(traceback.format_exception(error))}")))
            continue
        needed = sum(array.nbytes + 64 for array in batch.values())
        if needed > held:
            pipe.send(("need", needed))
            memory, held = attached(pipe.recv(), memory), needed
        if maker.skipped:
            pipe.send(("skipped", maker.skipped))
        pipe.send(("made", laid_out(batch, memory)))


def attached(name: str, before: Any) -> shared_memory.SharedMemory:
    """The parent's memory, which the parent gives back."""
    if before is not None:
        before.close()
    return shared_memory.SharedMemory(name)


def laid_out(batch: Arrays, memory: Any) -> dict[str, tuple[tuple[int, ...], str, int]]:
    """Copies a batch into the memory; where each array lies."""
    layout, start = {}, 0
    for name, array in batch.items():
        np.ndarray(array.shape, array.dtype, memory.buf, start)[...] = array
        layout[name] = (array.shape, array.dtype.str, start)
        start += (array.nbytes + 63) // 64 * 64
    return layout
