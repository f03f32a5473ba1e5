"""One side of the GPU benchmark: python -m benchmarks.gpu_side ours|eager|captured|compile|reduce-overhead NET bf16|tf32|fp32

Prints one line of JSON: milliseconds a step (the median of turns of about a third of a second), and what it ran on.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_nets import NETS, GpuNet

TURNS, TURN = 7, 0.3  # how many, and seconds each
KEPT = 4  # batches that lie on the device
LR, MOMENTUM, DECAY = 0.001, 0.9, 5e-4

Step = Callable[[], object]


def batches(net: GpuNet) -> tuple[Any, Any]:
    """KEPT batches, one below another."""
    rng, count = np.random.default_rng(0), KEPT * net.batch
    if net.words:
        x, label = (rng.integers(0, net.classes, (count, *net.sample)).astype(np.int32) for _ in range(2))
        return x, label
    return rng.standard_normal((count, *net.sample), np.float32), rng.integers(0, net.classes, count).astype(np.int32)


# --- ours ---
def ours(net: GpuNet, precision: str) -> tuple[Step, Step, str, int]:
    """The engine as the loop drives it: losses are read late, batches are picked from tables, small steps go several at once."""
    from dltrain.bursts import at_once, steps
    from dltrain.launch import engine_of
    from dltrain.sketch import sketch
    from dltrain.tensor import Picked

    path = net.config
    if not path.endswith(".yaml"):
        path = str(Path(tempfile.mkdtemp()) / "net.yaml")
        Path(path).write_text(net.config)
    config = sketch(path, (*net.settings, f"engine.precision={precision}"))
    engine = engine_of(config, "cuda")
    x, label = batches(net)
    tables = {name: label if name == "label" else x for name in config.net.fields}
    assert config.solver is not None
    rates = config.solver.rates(0, config.horizon) | {"lr": LR}
    rows = [np.arange(net.batch, dtype=np.int32) + number * net.batch for number in range(KEPT)]
    turn = iter(range(1 << 60))

    def batch() -> dict[str, Any]:
        number = next(turn) % KEPT
        return {name: Picked(table, rows[number]) for name, table in tables.items()}

    def wait() -> None:
        engine.settle()
        engine.backend.wait()

    for _ in range(3):
        engine.step([batch()], rates)
    many = at_once(engine)

    def step() -> object:
        return steps(engine, [batch() for _ in range(many)], [rates] * many)

    return step, wait, f"{engine.about()}, {many} steps a graph", many


# --- PyTorch ---
def theirs(net: GpuNet, precision: str, mode: str) -> tuple[Step, Step, str, int]:
    import torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.manual_seed(1)
    module = net.torch(torch.nn).cuda().train()
    x, label = (torch.from_numpy(array).cuda() for array in batches(net))
    if len(net.sample) == 3:
        module, x = module.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    xs, labels = x.split(net.batch), [part.flatten().long() for part in label.split(net.batch)]
    optimizer = torch.optim.SGD(module.parameters(), LR, MOMENTUM, weight_decay=DECAY)
    forward = module if mode in ("eager", "captured") else torch.compile(module, mode=None if mode == "compile" else mode)
    turn = iter(range(1 << 60))

    def learn(x: Any, label: Any) -> None:
        optimizer.zero_grad(set_to_none=False)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16", cache_enabled=mode != "captured"):
            outs = forward(x)
            loss = torch.nn.functional.cross_entropy
            total = loss(outs, label) if not isinstance(outs, tuple) else sum(
                weight * loss(out, label) for out, weight in zip(outs, (1.0, 0.3, 0.3), strict=True)
            )  # fmt: skip
        total.backward()
        optimizer.step()

    def step() -> None:
        number = next(turn) % KEPT
        learn(xs[number], labels[number])

    chosen = captured(torch, learn, xs, labels) if mode == "captured" else step
    return chosen, torch.cuda.synchronize, f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}", 1


def captured(torch: Any, learn: Callable[[Any, Any], None], xs: Any, labels: Any) -> Step:
    """The whole step as one CUDA graph, as PyTorch's manual shows it; batches are copied into its place."""
    x, label, stream = xs[0].clone(), labels[0].clone(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            learn(x, label)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        learn(x, label)
    turn = iter(range(1 << 60))

    def step() -> None:
        number = next(turn) % KEPT
        x.copy_(xs[number])
        label.copy_(labels[number])
        graph.replay()

    return step


# --- the clock ---
def measure(step: Step, wait: Step, many: int = 1) -> dict[str, float]:
    """Milliseconds a training step, of which each call does `many`."""
    for _ in range(10):
        step()
    wait()
    began = time.perf_counter()
    for _ in range(5):
        step()
    wait()
    count = max(3, int(TURN * 5 / max(time.perf_counter() - began, 1e-6)))
    turns = []
    for _ in range(TURNS):
        began = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        turns.append((time.perf_counter() - began) / count / many * 1e3)
    return {"ms": statistics.median(turns), "least_ms": min(turns), "most_ms": max(turns), "steps": count * many * TURNS}


def main(side: str, name: str, precision: str) -> None:
    net = NETS[name]
    step, wait, about, many = ours(net, precision) if side == "ours" else theirs(net, precision, side)
    print(json.dumps(measure(step, wait, many) | {"about": about}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
