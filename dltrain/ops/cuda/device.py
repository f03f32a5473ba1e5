"""A CUDA device, through CuPy's thin layer over the runtime and the driver: raw addresses, one stream, captured graphs."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np

from dltrain.errors import ConfigError, OutOfMemory
from dltrain.ops.cuda import compiler
from dltrain.ops.cuda.driver import Replay
from dltrain.ops.cuda.texts import text_of

BRANCHES = 4  # streams that a segment is spread over
NO_MEMORY = 2  # cudaErrorMemoryAllocation; what else goes wrong is no lack of memory
PIP = "pip install 'dltrain[cuda13]' (or cuda12, by your driver)"


def reason() -> str | None:
    """Why no CUDA device can be used here, with the way out; None where one can."""
    try:
        from cupy_backends.cuda.api import runtime
    except ImportError:
        return f"CuPy is not installed: {PIP}"
    try:
        if runtime.getDeviceCount() == 0:
            return "there is no CUDA device"
    except runtime.CUDARuntimeError as error:
        return f"the CUDA driver cannot be used ({str(error).partition(':')[0]}); is there an NVIDIA GPU and its driver?"
    return None if compiler.is_there() else compiler.MISSING


@cache
def names() -> list[str]:
    """What each device is called, and its memory."""
    from cupy_backends.cuda.api import runtime

    found = [runtime.getDeviceProperties(number) for number in range(runtime.getDeviceCount())]
    return [f"{each['name'].decode()}, {each['totalGlobalMem'] / 2**30:.0f} GiB" for each in found]


class Captured:
    """A graph; called, it is launched.  It lives as long as somebody may call it."""

    def __init__(self, device: Device, graph: int) -> None:
        self.device, self.graph = device, graph

    def __call__(self) -> None:
        self.device.runtime.graphLaunch(self.graph, self.device.stream)

    def __del__(self) -> None:
        with suppress(Exception):  # the device may be gone
            self.device.forget(self.graph)


class Device:
    """Everything goes to one non-blocking stream; the segments of a graph fork from it and join it again."""

    def __init__(self, number: int = 0) -> None:
        why = reason()
        if why is None and number >= len(names()):
            why = f"there is no device {number}; there are {len(names())}"
        if why is not None:
            raise ConfigError(f"--device cuda: {why}; or use --device cpu")
        from cupy_backends.cuda.api import driver, runtime

        self.runtime, self.driver_api, self.number = runtime, driver, number
        runtime.setDevice(number)
        runtime.memGetInfo()  # makes the context
        properties = runtime.getDeviceProperties(number)
        self.name = names()[number]
        self.arch = compiler.target(properties["major"], properties["minor"])
        self.processors = int(properties["multiProcessorCount"])
        self.stream = runtime.streamCreateWithFlags(runtime.streamNonBlocking)
        self.branches = [runtime.streamCreateWithFlags(runtime.streamNonBlocking) for _ in range(BRANCHES - 1)]
        self.current = self.stream
        self.copies = runtime.streamCreateWithFlags(runtime.streamNonBlocking)
        self.sent = self.flag()
        self.modules: dict[str, int] = {}
        self.functions: dict[tuple[str, str], int] = {}
        self.graphs: list[int] = []

    # --- memory ---
    def alloc(self, size: int) -> tuple[int, object]:
        import cupy

        try:
            with cupy.cuda.Device(self.number):
                memory = cupy.cuda.memory.Memory(max(size, 256))  # of the driver itself, not of a pool
        except self.runtime.CUDARuntimeError as error:
            if error.status != NO_MEMORY:
                raise
            raise OutOfMemory(f"{size / 2**30:.1f} GiB cannot be had on {self.name}; a smaller batch needs less") from None
        self.runtime.memsetAsync(memory.ptr, 0, max(size, 256), self.stream)
        self.synchronize()  # other streams may write into it next
        return memory.ptr, memory

    def free_bytes(self) -> int:
        return int(self.runtime.memGetInfo()[0])

    def upload(self, address: int, host: Any) -> None:
        """The host may change its array once this returns; a single number goes along with a launch, and nobody waits."""
        if host.nbytes in (4, 8) and not address % 4:
            for place, word in enumerate(host.reshape(-1).view("uint32")):
                self.poke(address + 4 * place, int(word))
            return
        self.runtime.memcpyAsync(address, host.ctypes.data, host.nbytes, self.runtime.memcpyHostToDevice, self.stream)
        self.synchronize()

    def poke(self, address: int, word: int) -> None:
        values = (ctypes.c_void_p(address), ctypes.c_uint32(word), ctypes.c_int(1))
        pointers = (ctypes.c_void_p * 3)(*(ctypes.addressof(value) for value in values))
        self.launch(self.function(text_of("staging"), "poke"), (1, 1, 1), (1, 1, 1), pointers)

    def pinned(self, size: int) -> Any:
        import cupy

        return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def send(self, address: int, host: Any, size: int) -> None:
        runtime = self.runtime
        runtime.memcpyAsync(address, host.ctypes.data, size, runtime.memcpyHostToDevice, self.copies)
        runtime.eventRecord(self.sent, self.copies)
        runtime.streamWaitEvent(self.stream, self.sent)

    def hand(self, address: int, host: Any, size: int) -> None:
        """From pinned memory, in turn with the launches."""
        self.runtime.memcpyAsync(address, host.ctypes.data, size, self.runtime.memcpyHostToDevice, self.stream)

    def flag(self) -> int:
        return int(self.runtime.eventCreateWithFlags(self.runtime.eventDisableTiming))

    def raise_flag(self, flag: int) -> None:
        self.runtime.eventRecord(flag, self.stream)

    def wait_for(self, flag: int) -> None:
        self.runtime.eventSynchronize(flag)

    def download(self, host: Any, address: int) -> None:
        self.runtime.memcpyAsync(host.ctypes.data, address, host.nbytes, self.runtime.memcpyDeviceToHost, self.stream)
        self.synchronize()

    def copy(self, to: int, source: int, size: int) -> None:
        self.runtime.memcpyAsync(to, source, size, self.runtime.memcpyDeviceToDevice, self.current)

    def clear(self, address: int, size: int) -> None:
        self.runtime.memsetAsync(address, 0, size, self.current)

    # --- kernels ---
    def function(self, text: str, name: str) -> int:
        if (text, name) not in self.functions:
            if text not in self.modules:
                self.modules[text] = self.driver_api.moduleLoadData(compiler.compiled(text, self.arch))
            self.functions[text, name] = self.driver_api.moduleGetFunction(self.modules[text], name)
        return self.functions[text, name]

    def launch(self, function: int, grid: Sequence[int], block: Sequence[int], parameters: Any) -> None:
        self.driver_api.launchKernel(function, *grid, *block, 0, self.current, ctypes.addressof(parameters), 0)

    def seconds(self, run: Replay, times: int) -> float:
        """How long one run takes of several in a row, in a graph so that the host does not count; the least of three."""
        runtime, events, taken = self.runtime, [self.runtime.eventCreate() for _ in range(2)], []
        run()
        made = self.recorded([run] * times)
        for _ in range(4):
            runtime.eventRecord(events[0], self.stream)
            runtime.graphLaunch(made, self.stream)
            runtime.eventRecord(events[1], self.stream)
            runtime.eventSynchronize(events[1])
            taken.append(float(runtime.eventElapsedTime(*events)) / 1000 / times)
        runtime.graphExecDestroy(made)
        for event in events:
            runtime.eventDestroy(event)
        return min(taken[1:])

    # --- graphs ---
    def capture(self, segments: Sequence[Sequence[Replay]]) -> Replay:
        """What the segments launch, as a graph.  Garbage is not collected meanwhile: freeing memory would end the capture."""
        events, collecting = list[int](), gc.isenabled()
        gc.disable()
        try:
            made = self.recorded([partial(self.spread, segment, events) for segment in segments])
        finally:
            if collecting:
                gc.enable()
        self.graphs.append(made)
        self.runtime.graphUpload(made, self.stream)
        for event in events:
            self.runtime.eventDestroy(event)
        return Captured(self, made)

    def forget(self, graph: int) -> None:
        """Gives a graph back that nobody will launch again."""
        if graph in self.graphs:
            self.graphs.remove(graph)
            self.synchronize()
            self.runtime.graphExecDestroy(graph)

    def recorded(self, launches: Sequence[Replay]) -> int:
        """A graph of what is launched.  Where that fails, recording ends, and what failed is told, not that the graph did."""
        runtime = self.runtime
        runtime.streamBeginCapture(self.stream, runtime.streamCaptureModeRelaxed)
        try:
            for each in launches:
                each()
        except BaseException:
            self.current = self.stream
            with suppress(runtime.CUDARuntimeError):
                runtime.graphDestroy(runtime.streamEndCapture(self.stream))
            raise
        graph = runtime.streamEndCapture(self.stream)
        made: int = runtime.graphInstantiate(graph)
        runtime.graphDestroy(graph)
        return made

    def spread(self, segment: Sequence[Replay], events: list[int]) -> None:
        """Deals the kernels of a segment to the branches, which wait for what was before it, and are waited for behind it."""
        runtime, lanes = self.runtime, [self.stream, *self.branches][: len(segment)]
        if len(lanes) > 1:
            self.follow(lanes[1:], self.stream, events)
        for number, kernel in enumerate(segment):
            self.current = lanes[number % len(lanes)]
            kernel()
        self.current = self.stream
        for lane in lanes[1:]:
            event = self.mark(lane, events)
            runtime.streamWaitEvent(self.stream, event)

    def follow(self, lanes: Sequence[int], leader: int, events: list[int]) -> None:
        event = self.mark(leader, events)
        for lane in lanes:
            self.runtime.streamWaitEvent(lane, event)

    def mark(self, stream: int, events: list[int]) -> int:
        event: int = self.runtime.eventCreateWithFlags(self.runtime.eventDisableTiming)
        self.runtime.eventRecord(event, stream)
        events.append(event)
        return event

    def synchronize(self) -> None:
        self.runtime.streamSynchronize(self.stream)

    def close(self) -> None:
        self.synchronize()
        while self.graphs:
            self.runtime.graphExecDestroy(self.graphs.pop())
        for stream in (self.stream, self.copies, *self.branches):
            self.runtime.streamDestroy(stream)
