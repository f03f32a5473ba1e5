"""One side of a race, a process of its own: reads a number of steps from stdin, answers with their times in seconds.

Asked for `memory` it answers with the most that it has taken since its library was imported, and what else it knows.

python -m benchmarks.runner ours|eager|compile|jax NET THREADS [train|test]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import jax_nets
from benchmarks.nets import NETS, RATES, Bench

WARM_UP, PATIENCE = 20, 10.0  # steps that are not counted, fewer where they take more than so many seconds, but three at least


class Side(NamedTuple):
    """One step, what does it, and what is known of it afterwards."""

    step: Callable[[], object]
    about: str
    facts: Callable[[], dict[str, float]] = dict


def net_of(bench: Bench) -> Any:
    """Our net."""
    import dltrain.catalogue  # noqa: F401
    from dltrain.expand import Expansion
    from dltrain.lines import read_lines
    from dltrain.marks import parse
    from dltrain.net import Net
    from dltrain.tensor import Shape

    document = parse(f"net:\n{bench.yaml}")
    lines = read_lines(document, Expansion(document, {}, {}, "data").lines, {})
    document.raise_mistakes()
    kinds = {"data": Shape(bench.batch[1:], "index" if bench.words else "float"), "label": Shape(bench.label, "index")}
    return Net(lines, kinds, bench.batch[0])


def engine_of(bench: Bench, threads: int) -> Any:
    from dltrain.engine import Engine
    from dltrain.ops.cpu import Cpu
    from dltrain.registry import SOLVERS

    net = net_of(bench)
    solver = SOLVERS["SGD"](
        base_lr=RATES["lr"], momentum=RATES["momentum"], weight_decay=RATES["decay"], clip_gradients=bench.clip
    )
    engine = Engine(net, Cpu(threads), solver)
    engine.initialise(1)
    for state in net.store.states.values():  # BatchNorm's, as those of the peers begin
        engine.memory.memory(state.handle)[...] = 0 if state.name.endswith("mean") else 1
    return engine


def feed_of(bench: Bench) -> dict[str, Any]:
    x, label = batch(bench)
    return {"data": x.astype(np.int32) if bench.words else x, "label": label.astype(np.int32)}


def ours(bench: Bench, threads: int, phase: str) -> Side:
    from dltrain.devices import blas_words

    engine, feed = engine_of(bench, threads), feed_of(bench)
    about = ", ".join(blas_words())
    step = (lambda: engine.step([feed], RATES)) if phase == "train" else (lambda: engine.forward("test", feed))
    return Side(step, about, lambda: limits(engine))


def limits(engine: Any) -> dict[str, float]:
    """What a step asks of the machine, arithmetic and bytes of the arguments of all calls; and its peaks, measured now."""
    from dltrain.timing import measured, traffic

    (program,) = engine.programs.values()
    calls, peaks = [call for segment in program.plan.to_run for call in segment], measured(engine)
    return {"flops": sum(call.op.flops(call.args) for call in calls), "bytes": sum(traffic(program.plan, call) for call in calls),
            "peak_flops": peaks.flops, "peak_bytes": peaks.bytes}  # fmt: skip


def jax_side(bench: Bench, threads: int, phase: str) -> Side:
    return Side(*jax_nets.jax_side(net_of(bench), bench, RATES, feed_of(bench), phase))


def torch_side(bench: Bench, threads: int, phase: str, compiled: bool = False) -> Side:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net = bench.torch(torch.nn)
    run = torch.compile(net) if compiled else net
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), RATES["lr"], RATES["momentum"], weight_decay=RATES["decay"])
    x, label = (torch.from_numpy(array) for array in batch(bench))
    label = label.flatten()

    def step() -> None:
        optimizer.zero_grad()
        loss(run(x), label).backward()
        if bench.clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), bench.clip)
        optimizer.step()

    def test() -> None:
        with torch.inference_mode():
            loss(run(x), label)

    net.train(phase == "train")
    kernels = torch.backends.cpu.get_cpu_capability()
    return Side(step if phase == "train" else test, f"torch {torch.__version__}, {kernels}, {torch.get_num_threads()} threads")


SIDES: dict[str, Callable[[Bench, int, str], Side]] = {
    "ours": ours, "eager": torch_side, "compile": partial(torch_side, compiled=True), "jax": jax_side
}  # fmt: skip


def batch(bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, bench.words, bench.batch) if bench.words else rng.random(bench.batch, np.float32)
    return x, rng.integers(0, bench.classes, (bench.batch[0], *bench.label))


def resident(key: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at most (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024


OURS = (
    "dltrain.catalogue",
    "dltrain.engine",
    *(f"dltrain.ops.cpu.{name}" for name in ("dense", "embed", "images", "norms", "recurrent")),
)


def imported(side: str, threads: int) -> float | None:
    """Imports the library of a side; what the process takes then, from where its peak is counted.  None where none can tell."""
    jax_nets.begin(threads)
    for module in {"ours": OURS, "jax": ("jax.numpy", "dltrain.catalogue", "dltrain.net")}.get(side, ("torch",)):
        import_module(module)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        return resident("VmRSS")
    except (OSError, KeyError):
        return None


def main(side: str, name: str, threads: int, phase: str) -> None:
    try:
        before, bench = imported(side, threads), NETS[name]
        made = SIDES[side](bench, threads, phase)
        warm_up(made.step)
    except Exception as error:
        if side not in ("compile", "jax"):  # the one needs a compiler, the other to be installed
            raise
        print(json.dumps({"left_out": f"{type(error).__name__}: {error}".partition("\n")[0][:200]}), flush=True)
        return
    serve(made, before)


def warm_up(step: Callable[[], object]) -> None:
    start = time.perf_counter()
    for done in range(WARM_UP):
        step()
        if done > 1 and time.perf_counter() - start > PATIENCE:
            return


def serve(side: Side, before: float | None = None) -> None:
    """Answers until nobody asks any more."""
    print(json.dumps({"about": side.about}), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            most = None if before is None else resident("VmHWM")
            told = {"memory_mib": most and most - before, "process_mib": most}
            print(json.dumps({**told, **side.facts()}), flush=True)
            continue
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            side.step()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "train")
