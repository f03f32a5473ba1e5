"""A compiled plan: kernels bound to their arrays, for each worker, with barriers between the segments."""

from __future__ import annotations

import threading

import numpy as np

from dltrain.memory import Bound, Memory
from dltrain.ops.backend import Kernel, Reference
from dltrain.plan import Plan


class Program:
    """run() does all segments once.  Worker 0 is the calling thread."""

    def __init__(self, plan: Plan, backend: Reference, memory: Memory, pool: Pool | None = None) -> None:
        self.plan, self.pool = plan, pool
        arrays = Bound(memory, plan)
        self.segments: list[list[list[Kernel]]] = []  # segment -> worker -> kernels
        for calls in plan.to_run:
            backend.begin_segment()
            works = [backend.bind(call, arrays) for call in calls]
            for phase in ([work.kernels for work in works], [work.finish for work in works]):
                if any(phase):
                    self.segments.append(
                        [[kernels[worker] for kernels in phase if worker < len(kernels)] for worker in range(backend.workers)]
                    )
        self.runner = backend.runner(self.segments)

    def run(self) -> None:
        if self.runner is not None:
            self.runner()
            return
        if self.pool is not None:
            self.pool.run(self.segments)
            return
        with np.errstate(all="ignore"):  # what is not finite is looked for, and told, once
            for segment in self.segments:
                for kernel in segment[0]:
                    kernel()


class Pool:
    """Threads that go through the same segments together, a barrier after each; an error in one frees the others."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.start, self.barrier = threading.Barrier(workers), threading.Barrier(workers)
        self.segments: list[list[list[Kernel]]] | None = []
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self.serve, args=(number,), daemon=True) for number in range(1, workers)]
        for thread in self.threads:
            thread.start()

    def run(self, segments: list[list[list[Kernel]]]) -> None:
        """Blocks until all workers are through; raises what a worker raised."""
        if self.errors:
            raise self.errors[0]
        if not segments:
            return
        self.segments = segments
        self.start.wait()
        self.work(0)
        if self.errors:  # a bug in a kernel: this pool is done with
            raise self.errors[0]

    def serve(self, worker: int) -> None:
        while True:
            self.start.wait()
            if self.segments is None:
                return
            self.work(worker)

    def work(self, worker: int) -> None:
        assert self.segments is not None
        try:
            with np.errstate(all="ignore"):
                for segment in self.segments:
                    for kernel in segment[worker]:
                        kernel()
                    self.barrier.wait()
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:
            self.errors.append(error)
            self.barrier.abort()

    def close(self) -> None:
        if self.segments is not None and not self.errors:
            self.segments = None
            self.start.wait()
            for thread in self.threads:
                thread.join()
