"""The engine: the same bits each time, one memory for all graphs, and no weight moved by a number that is not finite."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.engine import Engine
from dltrain.errors import OutOfMemory
from dltrain.net import Net
from dltrain.ops import backend as backends
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.plan.hazards import hazards
from dltrain.program import Pool
from dltrain.registry import LAYERS, SOLVERS
from dltrain.solver import Horizon
from dltrain.tensor import Shape
from dltrain.wiring import Line

Lines = list[tuple[str, str, dict[str, Any]]]
SMALL: Lines = [
    ("conv", "Convolution", {"num_output": 4, "kernel_size": (3,)}),
    ("relu", "ReLU", {}),
    ("pool", "Pooling", {"kernel_size": (2,), "stride": (2,)}),
    ("drop", "Dropout", {"dropout_ratio": 0.3}),
    ("ip", "InnerProduct", {"num_output": 3}),
    ("loss", "SoftmaxWithLoss", {"bottom": ["ip", "label"]}),
    ("accuracy", "Accuracy", {"bottom": ["ip", "label"], "phases": frozenset({"test"})}),
]
STILL = [line for line in SMALL if line[0] != "drop"]  # draws no random numbers


def net_of(lines: Lines = SMALL, seed: int = 3) -> Net:
    own = ("bottom", "phases", "params", "loss_weight")
    made = []
    for name, kind, keys in lines:
        said = {key: keys[key] for key in own if key in keys}
        made.append(Line(name, LAYERS[kind](**{key: value for key, value in keys.items() if key not in own}), **said))
    fields = {"data": Shape((2, 8, 8)), "label": Shape((), "index"), "target": Shape((3,)), "select": Shape(())}
    return Net(made, fields, 4, seed)


def batch(size: int = 8, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    data, target = rng.standard_normal((size, 2, 8, 8)).astype(np.float32), rng.standard_normal((size, 3)).astype(np.float32)
    return {
        "data": data,
        "label": rng.integers(0, 3, size),
        "target": target,
        "select": (rng.random(size) < 0.6).astype(np.float32),
    }


def part_of(whole: dict[str, Any], low: int, high: int) -> dict[str, Any]:
    return {field: value[low:high] for field, value in whole.items()}


Make = Callable[..., Engine]


@pytest.fixture
def make() -> Iterator[Make]:
    """Engines that are closed when the test is over."""
    made: list[Engine] = []

    def engine(lines: Lines = SMALL, backend: Reference | None = None, solver: str | None = "SGD", **keys: Any) -> Engine:
        net = net_of(lines)
        rule = SOLVERS[solver](**{"base_lr": 0.1, **keys}) if solver else None
        made.append(Engine(net, backend or Cpu(2), rule))
        made[-1].initialise(net.seed)
        return made[-1]

    yield engine
    for one in made:
        one.close()


def step(engine: Engine, *batches: dict[str, Any], iteration: int = 0) -> dict[str, float]:
    assert engine.solver is not None
    return engine.step(batches, engine.solver.rates(iteration, Horizon(100, 1)))  # type: ignore[arg-type]


def weights(engine: Engine) -> dict[str, Any]:
    return {name: np.array(array) for name, array in engine.state_arrays().items()}


def same_bits(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
    return float(max(np.abs(a[name] - b[name]).max(initial=0) for name in a))


# --- the same bits ---
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_same_seed_gives_the_same_bits(make: Make, workers: int) -> None:
    runs = []
    for _ in range(3):
        engine = make(backend=Cpu(workers), momentum=0.9)
        losses = [step(engine, batch(size, seed), iteration=seed)["loss"] for seed, size in enumerate([8, 8, 5, 8, 1, 8])]
        runs.append((losses, weights(engine)))
    assert runs[0][0] == runs[1][0] == runs[2][0]
    assert same_bits(runs[0][1], runs[1][1]) and same_bits(runs[0][1], runs[2][1])


def test_another_seed_gives_others(make: Make) -> None:
    first, second = make(), make()
    second.initialise(4)
    assert not same_bits(weights(first), weights(second))


def test_the_number_of_workers_changes_rounding_and_nothing_else(make: Make) -> None:
    found = []
    for workers in (1, 2, 3):
        engine = make(backend=Cpu(workers), momentum=0.9)
        for seed in range(3):
            step(engine, batch(8, seed))
        found.append(weights(engine))
    assert distance(found[0], found[1]) < 1e-5 and distance(found[0], found[2]) < 1e-5


# --- iter_size ---
@pytest.mark.parametrize("keys", [{}, {"clip_gradients": 0.1}, {"weight_decay": 0.1}])
def test_two_halves_make_one_whole(make: Make, keys: dict[str, Any]) -> None:
    whole, halves = make(STILL, momentum=0.5, **keys), make(STILL, momentum=0.5, iter_size=2, **keys)
    if "clip_gradients" in keys:  # the sum is clipped before it is divided, so the bound of two is twice that of one
        halves = make(STILL, momentum=0.5, iter_size=2, clip_gradients=0.2)
    for seed in range(3):
        all_of_it = batch(8, seed)
        one = step(whole, all_of_it, iteration=seed)
        two = step(halves, part_of(all_of_it, 0, 4), part_of(all_of_it, 4, 8), iteration=seed)
        assert one["loss"] == pytest.approx(two["loss"], abs=1e-6)
    assert distance(weights(whole), weights(halves)) < 1e-6


def test_each_pass_counts_as_one_for_what_is_random(make: Make) -> None:
    engine = make(iter_size=3)
    step(engine, batch(), batch(), batch())
    assert engine.step_count == 3
    engine.forward("test", batch())
    assert engine.step_count == 3


def test_the_gradient_is_gathered_and_then_cleared(make: Make) -> None:
    engine = make(STILL)
    g = engine.memory.memory(engine.net.store.g)
    engine.pass_through("train", batch(), "train")
    once = g.copy()
    engine.pass_through("train", batch(), "train")
    np.testing.assert_allclose(g, 2 * once, rtol=1e-5, atol=1e-6)
    step(engine, batch())
    assert np.abs(once).max() > 0 and np.abs(g).max() == 0


# --- one memory for all graphs ---
def test_other_graphs_between_the_steps_disturb_nothing(make: Make) -> None:
    quiet, busy = make(momentum=0.9), make(momentum=0.9)
    for seed in range(4):
        step(quiet, batch(8, seed))
        for size in (8, 3, 20, 1):
            busy.forward("test", batch(size, 99))
            busy.forward("deploy", batch(size, 98))
            busy.forward("test", batch(size, 97), upto=("conv", "pool"))
        step(busy, batch(8, seed))
        busy.forward("test", batch(30, 96))
    assert same_bits(weights(quiet), weights(busy))


def test_forward_changes_no_weight_and_no_slot(make: Make) -> None:
    engine = make(momentum=0.9)
    step(engine, batch())
    before = weights(engine)
    for phase in ("test", "deploy"):
        engine.forward(phase, batch(13))
    assert same_bits(before, weights(engine))


def test_a_larger_graph_moves_the_arena_and_the_smaller_ones_with_it(make: Make) -> None:
    engine, other = make(), make()
    small, large = batch(2, 1), batch(64, 2)
    engine.forward("test", small, upto=("ip",))
    first, arena = engine.blob("ip"), len(engine.memory.bytes)
    engine.forward("test", large, upto=("ip",))
    assert len(engine.memory.bytes) > arena
    engine.memory.bytes[:] = 255
    engine.forward("test", small, upto=("ip",))
    np.testing.assert_array_equal(engine.blob("ip"), first)
    other.forward("test", large, upto=("ip",))
    engine.forward("test", large, upto=("ip",))
    np.testing.assert_array_equal(engine.blob("ip"), other.blob("ip"))


def test_programs_are_made_once(make: Make) -> None:
    engine = make()
    for _ in range(3):
        step(engine, batch())
        engine.forward("test", batch())
    assert len(engine.programs) == 2


def test_what_does_not_fit_is_said_before_it_is_taken(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make()
    monkeypatch.setattr(backends, "available", lambda: 10_000)
    with pytest.raises(OutOfMemory, match="the plan needs .* GiB and .* GiB are free; choose a smaller batch_size"):
        engine.forward("test", batch(500))
    monkeypatch.undo()
    engine.forward("test", batch(500))


# --- cuts: what is above is planned when the number of samples is known ---
FILTERED: Lines = [
    ("conv", "Convolution", {"num_output": 4, "kernel_size": (3,)}),
    ("filter", "Filter", {"bottom": ["conv", "label", "select"]}),
    ("relu", "ReLU", {"bottom": "filter"}),
    ("ip", "InnerProduct", {"num_output": 3}),
    ("main", "SoftmaxWithLoss", {"bottom": ["ip", "filter.1"]}),
    ("side", "InnerProduct", {"num_output": 3, "bottom": "conv"}),
    ("also", "EuclideanLoss", {"bottom": ["side", "target"]}),
]


@pytest.mark.parametrize("backend", [lambda: Cpu(2), lambda: Cpu(3), Reference])
def test_a_net_with_a_cut_learns_as_if_it_had_none(make: Make, backend: Callable[[], Reference]) -> None:
    """Where all samples pass, a Filter is nothing."""
    plain = [line for line in FILTERED if line[0] != "filter"]
    plain = [
        (name, kind, keys | {"bottom": {"relu": "conv", "main": ["ip", "label"]}.get(name, keys.get("bottom"))})
        for name, kind, keys in plain
    ]
    cut, whole = make(FILTERED, backend()), make(plain, Reference(np.float64))
    for key, part in whole.net.store.segments.items():
        whole.memory.logical(part.handle.data)[...] = cut.memory.logical(cut.net.store.segments[key].handle.data)
    for seed in range(3):
        given = batch(8, seed)
        given["select"][:] = 1
        one, other = (step(engine, given, iteration=seed) for engine in (cut, whole))
        assert one == pytest.approx(other, rel=1e-4)
        assert distance(weights(cut), weights(whole)) < 1e-4
        assert cut.plan is not None and hazards(cut.plan) == []


def test_what_was_computed_below_a_cut_is_still_there_when_the_arena_grows_above_it(make: Make) -> None:
    fresh, grown = make(FILTERED), make(FILTERED)
    grown.forward("test", batch(64))
    room = len(grown.memory.bytes)
    for seed in range(3):
        for engine in (fresh, grown):
            step(engine, batch(8, seed), iteration=seed)
        assert same_bits(weights(fresh), weights(grown))
    assert len(grown.memory.bytes) == room > len(fresh.memory.bytes)


def test_each_number_of_samples_has_its_own_graph(make: Make) -> None:
    engine = make(FILTERED)
    for kept in (3, 5, 3, 8):
        given = batch(8)
        given["select"] = np.array([1.0] * kept + [0.0] * (8 - kept), np.float32)
        step(engine, given)
        assert engine.graph is not None and engine.graph.demand.kept == (kept,)
    assert len(engine.programs) == 4


# --- what is not finite ---
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["data", "target"])
def test_a_batch_that_is_not_finite_moves_nothing_and_neither_does_any_after_it(make: Make, poison: float, field: str) -> None:
    """And nobody hears a warning: that the step has failed is said by the flag."""
    main = ("main", "SoftmaxWithLoss", {"bottom": ["ip", "label"]})
    lines = [*STILL[:-2], main, ("also", "EuclideanLoss", {"bottom": ["ip", "target"]})]
    engine = make(lines, momentum=0.9, weight_decay=0.01)
    step(engine, batch(8, 0))
    before = weights(engine)
    assert not engine.has_failed
    bad = batch(8, 1)
    bad[field].reshape(-1)[11] = poison
    step(engine, bad, iteration=1)
    assert engine.has_failed
    assert same_bits(before, weights(engine))
    for seed in (2, 3):
        step(engine, batch(8, seed), iteration=seed)
        assert engine.has_failed
        assert same_bits(before, weights(engine))


def test_a_bad_half_spoils_the_whole_step(make: Make) -> None:
    engine = make(STILL, iter_size=2)
    before, bad = weights(engine), batch()
    bad["data"][0, 0, 4, 4] = np.nan
    step(engine, bad, batch())
    assert engine.has_failed and same_bits(before, weights(engine))


def test_a_gradient_too_large_to_be_squared_moves_nothing(make: Make) -> None:
    engine = make(
        [("ip", "InnerProduct", {"num_output": 3}), ("loss", "EuclideanLoss", {"bottom": ["ip", "target"], "loss_weight": 1e30})]
    )
    before, huge = weights(engine), batch()
    huge["data"] *= 1e18
    huge["target"] *= 0
    step(engine, huge)
    assert engine.has_failed and same_bits(before, weights(engine))


def test_after_a_reset_it_goes_on_as_from_the_beginning(make: Make) -> None:
    engine, fresh = make(momentum=0.9), make(momentum=0.9)
    begin = weights(engine)
    bad = batch()
    bad["data"][:] = np.nan
    step(engine, bad)
    assert engine.has_failed
    engine.reset()
    assert not engine.has_failed and engine.step_count == 0
    assert same_bits(begin, weights(engine))
    for seed in range(2):
        step(engine, batch(8, seed))
        step(fresh, batch(8, seed))
    assert same_bits(weights(engine), weights(fresh))


# --- the update ---
RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.05}),
    ("SGD", {"weight_decay": 0.05, "regularization_type": "L1"}),
    ("SGD", {"momentum": 0.9, "clip_gradients": 0.05}),
    ("SGD", {"clip_gradients": 1e6}),
    ("Nesterov", {"momentum": 0.9}),
    ("Nesterov", {"momentum": 0.5, "weight_decay": 0.01, "clip_gradients": 0.5, "iter_size": 2}),
]
SAID: list[dict[str, Any]] = [
    {},
    {"weight": {"lr_mult": 2.0}, "bias": {"lr_mult": 0.5, "decay_mult": 1.0}},
    {"weight": {"decay_mult": 0.0}},
    {"weight": {"freeze": True}},
    {"bias": {"lr_mult": 0.0}},
]


@pytest.mark.parametrize(("rule", "keys"), RULES)
@pytest.mark.parametrize("said", SAID)
def test_an_update_is_that_of_the_reference(make: Make, rule: str, keys: dict[str, Any], said: dict[str, Any]) -> None:
    lines = [(name, kind, {**keys, "params": said} if name == "conv" else keys) for name, kind, keys in STILL]
    made = [make(lines, backend, rule, **keys) for backend in (Cpu(2), Cpu(3), Reference(np.float64))]
    begin = weights(made[0])
    for seed in range(3):
        for engine in made:
            step(engine, *(batch(6, 2 * seed + number) for number in range(keys.get("iter_size", 1))), iteration=seed)
    right = weights(made[-1])
    for engine in made[:-1]:
        found = weights(engine)
        assert distance(found, right) < 2e-5
        for role, words in said.items():
            if words.get("freeze") or words.get("lr_mult") == 0:
                assert found[f"data/conv/{role}"].tobytes() == begin[f"data/conv/{role}"].tobytes()
    assert distance(begin, right) > 1e-3


def test_losses_come_back_by_name_and_averaged(make: Make) -> None:
    engine = make(STILL, iter_size=2)
    first, second = batch(8, 1), batch(8, 2)
    both = step(engine, first, second)["loss"]
    alone = []
    for one in (first, second):
        engine = make(STILL)
        alone.append(step(engine, one)["loss"])
    assert both == pytest.approx(sum(alone) / 2, rel=1e-6)


def test_scores_and_blobs_of_the_last_pass(make: Make) -> None:
    engine = make(STILL)
    given = batch(7)
    engine.forward("test", given, upto=("ip",))
    scores = engine.blob("ip")
    engine.forward("test", given)
    total, weight = engine.tallies()["accuracy"]
    assert (total, weight) == ((scores.argmax(axis=1) == given["label"]).sum(), 7)


# --- the pool ---
def within(seconds: float, do: Callable[[], None]) -> BaseException | None:
    """What `do` raises, in a thread of its own; a failure where it does not come back."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            do()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return caught[0] if caught else None


def idle() -> None:
    pass


def boom() -> None:
    raise ZeroDivisionError("boom")


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("where", [0, 1, -1])
@pytest.mark.parametrize("segment", [0, 1])
def test_what_a_worker_raises_the_caller_raises(workers: int, where: int, segment: int) -> None:
    pool = Pool(workers)
    ran: list[int] = []
    program = [[[idle] for _ in range(workers)] for _ in range(3)]
    program[segment][where] = [boom]
    program[2][0] = [lambda: ran.append(1)]
    error = within(20, lambda: pool.run(program))
    assert isinstance(error, ZeroDivisionError)
    assert ran == []
    assert isinstance(within(20, lambda: pool.run(program)), ZeroDivisionError)  # this pool is done with
    assert within(20, pool.close) is None


def test_workers_wait_for_each_other_after_each_segment() -> None:
    pool, log = Pool(3), []

    def slowly(number: int, worker: int) -> None:
        time.sleep(0.002 * ((number + worker) % 3))
        log.append(number)

    program = [[[lambda n=n, w=w: slowly(n, w)] for w in range(3)] for n in range(6)]  # type: ignore[misc]
    for _ in range(3):
        log.clear()
        assert within(20, lambda: pool.run(program)) is None  # type: ignore[arg-type]
        assert log == sorted(log) and len(log) == 18
    assert within(20, pool.close) is None
    assert not any(thread.is_alive() for thread in pool.threads)


def test_a_pool_runs_on_the_calling_thread_too() -> None:
    pool, seen = Pool(2), []
    program = [[[lambda: seen.append((0, threading.get_ident()))], [lambda: seen.append((1, threading.get_ident()))]]]
    pool.run(program)
    pool.close()
    assert dict(seen)[0] == threading.get_ident() != dict(seen)[1]


def test_a_pool_may_be_closed_twice_and_without_having_run() -> None:
    pool = Pool(2)
    assert within(20, pool.close) is None
    assert within(20, pool.close) is None


def test_an_engine_says_what_it_runs_on(make: Make) -> None:
    engine = make()
    found = engine.environment()
    assert (found["device"], found["threads"], found["kernels"]) == ("cpu", 2, "numba")
    assert engine.about().startswith("cpu, 2 threads, ")
