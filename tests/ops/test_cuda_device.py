"""The driver of a real device, held against CuPy as its signatures are: what goes to which stream, in which order, and what waits."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.engine import Engine
from dltrain.errors import ConfigError, OutOfMemory
from dltrain.ops.cuda import Cuda, compiler, device, tuning
from dltrain.ops.cuda.device import Device
from dltrain.ops.cuda.staging import SLOTS, Staging

cupy = pytest.importorskip("cupy")
from cupy_backends.cuda.api import driver as real_driver  # noqa: E402
from cupy_backends.cuda.api import runtime as real_runtime  # noqa: E402

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason=compiler.MISSING)

Entry = tuple[Any, ...]  # the name of a function, then its arguments
INTEGERS = ("intptr_t", "size_t", "int", "unsigned int")


def checked(function: Any, given: tuple[Any, ...]) -> None:
    """As Cython would: as many as the signature has, integers where it says so, none of them too large."""
    words = re.fullmatch(r"\w+\((.*)\).*", function.__doc__.splitlines()[0])
    assert words is not None
    wanted = [word.strip() for word in words[1].split(",") if word.strip()]
    assert len([word for word in wanted if "=" not in word]) <= len(given) <= len(wanted), (function, given)
    for word, value in zip(wanted, given):
        kind = word.partition("=")[0].rpartition(" ")[0]
        if kind in INTEGERS:
            assert isinstance(value, int) and not isinstance(value, bool), (function, word, value)
            assert value >= 0 or kind in ("int", "intptr_t"), (function, word, value)
        else:
            assert isinstance(value, {"bytes": bytes, "str": str}[kind]), (function, word, value)


class Feigned:
    """A module of CuPy: its constants are the real one's, its functions note what they are given, checked by the real signatures."""

    def __init__(self, real: Any, log: list[Entry], answers: dict[str, Callable[..., Any]]) -> None:
        self.real, self.log, self.answers = real, log, answers
        self.next = 1000 if real is real_runtime else 5000

    def __getattr__(self, name: str) -> Any:
        thing = getattr(self.real, name)
        if not callable(thing) or isinstance(thing, type):
            return thing

        def call(*given: Any) -> Any:
            checked(thing, given)
            self.log.append((name, *given))
            if name in self.answers:
                return self.answers[name](*given)
            self.next += 1
            return self.next

        return call


class Pinned:
    """Memory of the host as CuPy's pools hand it out, larger than it was asked for."""

    def __init__(self, size: int) -> None:
        self.bytes = np.zeros(size + 512, np.uint8)
        self.ptr, self.size = self.bytes.ctypes.data, self.bytes.size


class Machine:
    """One device of 2 GiB that does nothing and remembers all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[Entry] = []
        self.fails: dict[str, Exception] = {}
        self.elapsed = iter(range(1, 100))
        self.top = 1 << 20
        answers: dict[str, Callable[..., Any]] = {
            "getDeviceCount": lambda: 1, "memGetInfo": lambda: (1 << 30, 1 << 31), "getDeviceProperties": self.properties,
            "eventElapsedTime": lambda one, two: float(next(self.elapsed)), "streamEndCapture": self.end,
        }  # fmt: skip
        self.runtime = Feigned(real_runtime, self.log, answers)
        self.driver = Feigned(real_driver, self.log, {"launchKernel": self.launched})
        monkeypatch.setattr("cupy_backends.cuda.api.runtime", self.runtime)
        monkeypatch.setattr("cupy_backends.cuda.api.driver", self.driver)
        monkeypatch.setattr(cupy.cuda, "Device", InUse)
        monkeypatch.setattr(cupy.cuda.memory, "Memory", self.memory)
        monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", lambda size: cupy.cuda.PinnedMemoryPointer(Pinned(size), 0))
        device.names.cache_clear()

    @staticmethod
    def properties(number: int) -> dict[str, Any]:
        """Bytes and numbers, as CUDA 13 gives them."""
        return {"name": b"NVIDIA H200", "totalGlobalMem": 150110011392, "major": 9, "minor": 0, "multiProcessorCount": 132}

    def memory(self, size: int) -> Any:
        if "malloc" in self.fails:
            raise self.fails["malloc"]
        self.top += -(-size // 512) * 512
        return SimpleNamespace(ptr=self.top - -(-size // 512) * 512, size=size)

    def end(self, stream: int) -> int:
        if "streamEndCapture" in self.fails:
            raise self.fails["streamEndCapture"]
        return 77

    def launched(self, function: int, *rest: int) -> None:
        """The values that the parameters point to are looked at now, as CUDA does."""
        count = 3 if function == self.poke else 0
        pointers = (ctypes.c_void_p * count).from_address(rest[8]) if count else ()
        if count:
            address, word, many = (
                kind.from_address(at).value for kind, at in zip((ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int), pointers)
            )
            self.log.append(("poked", address, word, many))

    poke = -1

    def since(self, mark: int) -> list[Entry]:
        return self.log[mark:]


class InUse:
    def __init__(self, number: int) -> None:
        assert number == 0

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(monkeypatch)
    yield made  # type: ignore[misc]
    device.names.cache_clear()


def broken(status: int) -> Exception:
    """The real error, told without asking a driver for its words."""
    made: Exception = real_runtime.CUDARuntimeError.__new__(real_runtime.CUDARuntimeError)
    made.status = status  # type: ignore[attr-defined]
    return made


# --- the device and its memory ---
def test_a_device_is_asked_what_it_is(machine: Machine) -> None:
    made = Device(0)
    assert (made.name, made.arch, made.processors) == ("NVIDIA H200, 140 GiB", "sm_90", 132)
    assert device.reason() is None and made.free_bytes() == 1 << 30
    streams = {made.stream, made.copies, *made.branches}
    assert len(streams) == 5 and machine.log.count(("streamCreateWithFlags", 1)) == 5  # none waits for the default stream
    assert ("eventCreateWithFlags", 2) in machine.log
    with pytest.raises(ConfigError, match="there is no device 1; there are 1"):
        Device(1)


def test_memory_is_zero_before_any_stream_writes_into_it(machine: Machine) -> None:
    made, mark = Device(0), len(machine.log)
    address, owner = made.alloc(1000)
    assert address % 256 == 0 and owner is not None
    assert machine.since(mark) == [("memsetAsync", address, 0, 1000, made.stream), ("streamSynchronize", made.stream)]


def test_what_is_no_lack_of_memory_is_not_told_as_one(machine: Machine) -> None:
    made = Device(0)
    machine.fails["malloc"] = broken(2)
    with pytest.raises(OutOfMemory, match="cannot be had on NVIDIA H200, 140 GiB; a smaller batch needs less"):
        made.alloc(1 << 40)
    machine.fails["malloc"] = broken(700)  # an earlier kernel has touched what is not its own
    with pytest.raises(real_runtime.CUDARuntimeError):
        made.alloc(1)


def test_arrays_go_there_and_back_before_the_host_goes_on(machine: Machine) -> None:
    made, host, mark = Device(0), np.arange(5, dtype=np.float32), len(machine.log)
    made.upload(4096, host)
    made.download(host, 4096)
    assert machine.since(mark) == [
        ("memcpyAsync", 4096, host.ctypes.data, 20, 1, made.stream), ("streamSynchronize", made.stream),
        ("memcpyAsync", host.ctypes.data, 4096, 20, 2, made.stream), ("streamSynchronize", made.stream),
    ]  # fmt: skip


def test_a_number_goes_along_with_a_launch(machine: Machine) -> None:
    """Rates and the count of passes: nobody waits for them."""
    made = Device(0)
    made.upload(4096, np.array([1.5], np.float32))
    machine.poke = next(function for (_, name), function in made.functions.items() if name == "poke")
    mark = len(machine.log)
    made.upload(4096, np.array([-0.0], np.float32))
    made.upload(8192, np.array(2.0**40))
    (low, high) = np.array([2.0**40]).view(np.uint32)
    poked = [entry for entry in machine.since(mark) if entry[0] == "poked"]
    assert poked == [("poked", 4096, 1 << 31, 1), ("poked", 8192, low, 1), ("poked", 8196, high, 1)]
    launches = [entry for entry in machine.since(mark) if entry[0] == "launchKernel"]
    assert all(entry[2:10] == (1, 1, 1, 1, 1, 1, 0, made.stream) and entry[-1] == 0 for entry in launches)


def test_modules_are_loaded_once_and_from_machine_code(machine: Machine) -> None:
    made = Device(0)
    for name in ("poke", "deal", "poke"):
        made.function(device.text_of("staging"), name)
    loaded = [entry for entry in machine.log if entry[0] == "moduleLoadData"]
    assert len(loaded) == 1 and loaded[0][1].startswith(b"\x7fELF")
    assert [entry[2] for entry in machine.log if entry[0] == "moduleGetFunction"] == ["poke", "deal"]


# --- batches ---
def test_a_batch_goes_on_a_stream_of_its_own_and_the_next_launch_waits_for_it(machine: Machine) -> None:
    made = Device(0)
    cuda, values = Cuda(made), np.arange(6, dtype=np.uint8).reshape(2, 3)
    to, staging = cuda.alloc(6, np.float32).reshape(2, 3), Staging(cuda)
    mark = len(machine.log)
    for turn in range(SLOTS + 1):
        staging.put(to, values + turn)
    sent = [entry for entry in machine.since(mark) if entry[0] == "memcpyAsync"]
    assert (
        len(sent) == SLOTS + 1 and {entry[-1] for entry in sent} == {made.copies} and {entry[3:5] for entry in sent} == {(6, 1)}
    )
    assert len({entry[2] for entry in sent}) == SLOTS and sent[0][1:3] == sent[SLOTS][1:3]  # slots in turn
    assert np.ctypeslib.as_array((ctypes.c_uint8 * 6).from_address(sent[0][2])).tolist() == [3, 4, 5, 6, 7, 8]
    names = [entry[0] for entry in machine.since(mark)]
    for at in (number for number, name in enumerate(names) if name == "memcpyAsync"):
        assert names[at - 1] == "eventSynchronize"  # until its slot is free
        follow = [entry for entry in machine.since(mark)[at + 1 :] if entry[0] != "moduleLoadData"]
        recorded, waited = follow[0], follow[1]
        assert recorded == ("eventRecord", made.sent, made.copies) and waited == ("streamWaitEvent", made.stream, made.sent)
        assert next(entry for entry in follow if entry[0] == "launchKernel")[9] == made.stream
    freed = [entry[1] for entry in machine.since(mark) if entry[0] == "eventRecord" and entry[2] == made.stream]
    assert freed == [entry[1] for entry in machine.since(mark) if entry[0] == "eventSynchronize"]  # each raises its own flag


# --- graphs ---
def captured(machine: Machine, made: Device, *sizes: int) -> tuple[list[Entry], list[list[int]]]:
    """The log of a capture of segments with so many calls; where each call was launched."""
    places: list[list[int]] = [[] for _ in sizes]
    segments = [[lambda at=at: at.append(made.current)] * size for size, at in zip(sizes, places)]  # type: ignore[misc]
    mark = len(machine.log)
    made.capture(segments)
    return machine.since(mark), places


def test_branches_wait_for_what_was_before_and_are_waited_for(machine: Machine) -> None:
    made = Device(0)
    log, places = captured(machine, made, 1, 6, 2)
    lanes = [made.stream, *made.branches]
    assert places == [lanes[:1], [*lanes, *lanes[:2]], lanes[:2]] and made.current == made.stream
    assert log[0] == ("streamBeginCapture", made.stream, 2)
    steps = [entry for entry in log if entry[0] in ("eventRecord", "streamWaitEvent")]
    forks = [("eventRecord", made.stream), *[("streamWaitEvent", lane) for lane in lanes[1:]]]
    joins = [step for lane in lanes[1:] for step in (("eventRecord", lane), ("streamWaitEvent", made.stream))]
    few = [
        ("eventRecord", made.stream),
        ("streamWaitEvent", lanes[1]),
        ("eventRecord", lanes[1]),
        ("streamWaitEvent", made.stream),
    ]
    where = [("eventRecord", entry[2]) if entry[0] == "eventRecord" else entry[:2] for entry in steps]
    assert where == [*forks, *joins, *few]
    event = None
    for entry in steps:  # each wait is for the event recorded last
        event = entry[1] if entry[0] == "eventRecord" else event
        assert entry[0] == "eventRecord" or entry[2] == event
    events = {entry[1] for entry in log if entry[0] == "eventDestroy"}
    assert events == {entry[1] for entry in steps if entry[0] == "eventRecord"} and len(events) == 6


def test_a_graph_is_launched_where_everything_goes_and_ends_with_the_device(machine: Machine) -> None:
    made = Device(0)
    replay = made.capture([[lambda: None]])
    (graph,) = made.graphs
    assert ("graphInstantiate", 77) in machine.log and ("graphDestroy", 77) in machine.log
    mark = len(machine.log)
    replay()
    replay()
    assert machine.since(mark) == [("graphLaunch", graph, made.stream)] * 2
    made.close()
    assert machine.since(mark)[2] == ("streamSynchronize", made.stream) and ("graphExecDestroy", graph) in machine.log
    ended = {entry[1] for entry in machine.log if entry[0] == "streamDestroy"}
    assert ended == {made.stream, made.copies, *made.branches}


def test_a_call_that_cannot_be_captured_is_told_and_the_stream_is_free_again(machine: Machine) -> None:
    made = Device(0)

    def fails() -> None:
        raise RuntimeError("this plan waits for the host")

    for ends_well in (True, False):
        machine.fails = {} if ends_well else {"streamEndCapture": broken(901)}
        with pytest.raises(RuntimeError, match="this plan waits for the host"):
            made.capture([[lambda: None, lambda: None], [lambda: None, fails]])
        assert made.current == made.stream and not made.graphs
    assert [entry[0] for entry in machine.log].count("streamEndCapture") == 2
    machine.fails = {"streamEndCapture": broken(901)}
    with pytest.raises(real_runtime.CUDARuntimeError):
        made.capture([[lambda: None]])
    assert not made.graphs


def test_garbage_waits_for_the_end_of_a_capture(machine: Machine) -> None:
    import gc

    made, seen = Device(0), list[bool]()
    made.capture([[lambda: seen.append(gc.isenabled())]])
    with pytest.raises(ZeroDivisionError):
        made.capture([[lambda: seen.append(1 // 0 > 0)]])
    assert seen == [False] and gc.isenabled()


def test_several_runs_are_timed_in_one_graph(machine: Machine) -> None:
    made, runs = Device(0), list[int]()
    assert made.seconds(lambda: runs.append(made.current), 3) == 2 / 1000 / 3  # the first of four does not count
    assert runs == [made.stream] * 4 and not made.graphs
    kinds = [entry[0] for entry in machine.log]
    assert kinds.count("graphLaunch") == 4 and kinds.count("graphExecDestroy") == 1
    assert kinds.count("eventCreate") == kinds.count("eventDestroy") == 2


def test_a_step_of_training_waits_for_nothing_and_is_one_graph(
    machine: Machine, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first launches its calls, the second is captured, the third sends what has changed and its batch, and launches the graph."""
    monkeypatch.setattr(tuning.Trial, "fastest", lambda trial, ways: f"tiles:{ways['tiles'].offers()[0]}")
    monkeypatch.setattr(tuning, "LEDGERS", {})
    monkeypatch.setattr(tuning, "folder", lambda kind: small / "no folder")
    monkeypatch.setattr(tuning, "write", lambda path, content: path)
    made, config = Device(0), configs.read(str(small))
    engine, taken = Engine(config.net, Cuda(made, "strict"), config.solver), list[list[Entry]]()
    assert config.solver is not None
    for number in range(3):
        mark = len(machine.log)
        engine.step([config.feed.train_batch_now(number)], config.solver.rates(number, config.horizon))
        taken.append([entry for entry in machine.since(mark) if entry[0] != "poked"])
    config.feed.close()
    assert [[entry[0] for entry in log].count("graphLaunch") for log in taken] == [0, 1, 1]
    assert taken[2][-1] == ("graphLaunch", *made.graphs, made.stream)
    assert {entry[0] for entry in taken[2]} == {
        "launchKernel", "eventSynchronize", "memcpyAsync", "eventRecord", "streamWaitEvent", "graphLaunch",
    }  # fmt: skip
    assert all(entry[-1] == made.copies for entry in taken[2] if entry[0] == "memcpyAsync")
    begin, end = (
        next(at for at, entry in enumerate(taken[1]) if entry[0] == f"stream{what}Capture") for what in ("Begin", "End")
    )
    inside = taken[1][begin + 1 : end]
    assert {entry[0] for entry in inside} <= {
        "launchKernel", "memcpyAsync", "memsetAsync", "eventCreateWithFlags", "eventRecord", "streamWaitEvent",
    }  # fmt: skip
    lanes = {entry[9] for entry in inside if entry[0] == "launchKernel"}
    assert made.stream in lanes and made.copies not in lanes and len(lanes) > 1  # gradients side by side


# --- what is compiled ---
@pytest.mark.parametrize(("major", "minor", "arch"), [(9, 0, "sm_90"), (8, 9, "sm_89"), (8, 0, "sm_80"), (10, 1, "sm_100")])
def test_a_device_gets_code_of_its_own_kind(major: int, minor: int, arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "known", lambda: (75, 80, 86, 89, 90, 100))
    assert compiler.target(major, minor) == arch


def test_a_device_that_the_compiler_does_not_know_gets_text_that_its_driver_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 90 in compiler.known()
    made = compiler.build(device.text_of("staging"), "compute_90")
    assert b".target sm_90" in made and made.endswith(b"\0")
    monkeypatch.setattr(compiler, "known", lambda: (75, 90))
    assert compiler.target(12, 0) == "compute_90"
    with pytest.raises(ConfigError, match="makes nothing for compute capability 7.0: install an older one"):
        compiler.target(7, 0)
