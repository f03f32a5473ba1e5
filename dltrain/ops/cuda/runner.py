"""How the launches of a program run: as one graph, or call by call with a look at what each has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dltrain.errors import Diverged
from dltrain.ops.backend import Arrays, Kernel, bind_reference
from dltrain.ops.cuda.burst import Burst, Pick
from dltrain.ops.signature import Call
from dltrain.tensor import Tensor

if TYPE_CHECKING:
    from dltrain.ops.cuda.backend import Cuda


MOST, FEW, LITTLE = 16, 256, 4e9  # steps in one graph, where a step has few launches and little arithmetic


class Launches:
    """A call as launches, one after another."""

    fixed = True  # a graph may hold it

    def __init__(self, call: Call, arrays: Arrays, launches: Sequence[Kernel]) -> None:
        self.call, self.arrays, self.launches = call, arrays, tuple(launches)

    def __call__(self) -> None:
        for launch in self.launches:
            launch()

    def look(self) -> None:
        """Diverged where the call has made what is no number."""
        for tensor in self.call.writes():
            if tensor.dtype in ("float", "double") and np.isnan(np.asarray(self.arrays.logical(tensor))).any():
                where = f"on its way {self.call.way} ({self.call.op.name})"
                raise Diverged(f"layer '{self.call.layer}' makes a value that is not a number, {where}: {tensor}")


class OnHost(Launches):
    """A call that no kernel does (of a layer of the user's, say): its arrays go to the host and come back."""

    fixed = False

    def __init__(self, call: Call, arrays: Arrays) -> None:
        super().__init__(call, arrays, ())

    def __call__(self) -> None:
        host = {tensor: np.asarray(self.arrays.logical(tensor)) for tensor in (*self.call.reads(), *self.call.writes())}
        bind_reference(self.call, Mirror(host))()
        for tensor in self.call.writes():
            self.arrays.logical(tensor)[...] = host[tensor]


class Mirror:
    """Arrays of the host in the place of those of the device."""

    def __init__(self, host: dict[Tensor, Any]) -> None:
        self.host = host

    def memory(self, tensor: Tensor) -> Any:
        return self.host[tensor]

    logical = memory


class Runner:
    """The first time call by call, which loads what is lazily loaded; then as a graph, where every call may be in one."""

    def __init__(self, cuda: Cuda, segments: list[list[Launches]]) -> None:
        self.cuda, self.segments = cuda, segments
        self.captures = cuda.graphs and bool(segments) and all(each.fixed for segment in segments for each in segment)
        self.runs = 0
        self.graph: Kernel | None = None
        self.bursts: dict[tuple[int, ...], Burst] = {}
        calls = [each for segment in segments for each in segment]
        launches, work = sum(len(each.launches) for each in calls), sum(each.call.op.flops(each.call.args) for each in calls)
        self.most = MOST if self.captures and launches <= FEW and work <= LITTLE else 1

    @property
    def at_once(self) -> int:
        """How many runs one graph may hold, now that everything is loaded."""
        return self.most if self.graph is not None else 1

    def burst(self, scalars: list[Any], values: list[Any], fields: list[tuple[Any, Any]], rows: Any) -> None:
        """A run for each of the rows: with `values` of the scalars, and these rows of the tables as the fields."""
        picks = [Pick(to, self.cuda.staging.table(table, to)) for to, table in fields]
        key = (len(rows), *(pick.table.address for pick in picks))
        if key not in self.bursts:
            self.bursts[key] = Burst(self.cuda, self.segments, len(rows), scalars, picks)
        self.bursts[key](values, rows)

    def __call__(self) -> None:
        self.runs += 1
        if self.graph is None and self.captures and self.runs == 2:
            self.graph = self.cuda.driver.capture(self.segments)
        if self.graph is not None:
            self.graph()
            return
        for segment in self.segments:
            for each in segment:
                each()
                if not self.cuda.graphs and not (self.cuda.scales and each.call.way == "backward"):  # which may be too large
                    each.look()
