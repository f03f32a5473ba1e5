"""How well nets do, measured: each config trained by `dltrain train`, and its twin in PyTorch by plain modules and SGD.

Both begin with the same values and see the same batches in the same order: those of dltrain's feed, prepared and drawn by it.
Rates, decay and the length of the run are the config's.  What differs is the arithmetic, the draws of Dropout, and the form
of SGD: Caffe's velocity holds the rate, PyTorch's does not.  Scored is test, with the weights at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.copied import copied
from benchmarks.race import machine
from benchmarks.twins import TWINS

CONFIGS = Path(__file__).parent.parent / "configs"
DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def compare(name: str, seeds: int, threads: int) -> dict[str, Any]:
    """The scores of both sides, a seed after the other: {"ours": {"accuracy": […], "loss": […]}, "torch": {…}}"""
    sides: dict[str, dict[str, list[float]]] = {"ours": {}, "torch": {}}
    samples = 0
    for seed in range(1, seeds + 1):
        settings = (f"seed={seed}", f"engine.threads={threads}")
        scores, samples = ours(name, settings)
        made = {"ours": scores, "torch": theirs(name, settings, threads)}
        for side, values in made.items():
            print(f"{name} seed {seed} {side}: " + "  ".join(f"{key} {value:.4f}" for key, value in values.items()), flush=True)
            for key, value in values.items():
                sides[side].setdefault(key, []).append(value)
    return {"config": name, "samples": samples, "threads": threads, "machine": machine(), "date": time.strftime("%Y-%m-%d"),
            "sides": sides}  # fmt: skip


def ours(name: str, settings: tuple[str, ...]) -> tuple[dict[str, float], int]:
    """The accuracy and the loss on test of a run as anybody would make it, and how many samples that is."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [word for setting in settings for word in ("--set", setting)]
        run = dltrain("train", str(CONFIGS / f"{name}.yaml"), "--runs", folder, *sets)["run"]
        weights = sorted(Path(run).glob("snapshots/iter_*.h5"))[-1]
        tested = dltrain("test", run, "--weights", str(weights))
    return {key: float(tested["scores"][key]) for key in ("accuracy", "loss")}, int(tested["samples"])


def dltrain(*words: str) -> dict[str, Any]:
    """What a command of dltrain gives."""
    command = [sys.executable, "-m", "dltrain", *words, "--json", "--quiet"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, cwd=CONFIGS.parent)
    if done.returncode:
        raise SystemExit(done.stderr)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def environment() -> dict[str, str]:
    """Without what forces slow kernels, and with the sets that are not fetched."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    return {"DLTRAIN_DATA": str(DATA), **env}


def theirs(name: str, settings: tuple[str, ...], threads: int) -> dict[str, float]:
    """The same of the twin."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # its threads do not spin on a machine that others use, too
    import torch

    from dltrain import catalogue  # noqa: F401
    from dltrain import config as configs
    from dltrain.launch import engine_of

    os.environ.setdefault("DLTRAIN_DATA", str(DATA))
    config = configs.read(CONFIGS / f"{name}.yaml", settings)
    torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    twin = TWINS[name](torch.nn, config.feed) if name in TWINS else copied(config)
    engine = engine_of(config, None)
    try:
        groups = begin(twin, engine, config.solver)
        agree(twin, engine, config.feed.train_batch_now(0))
        train(twin, groups, config)
        return judge(twin, config.feed)
    finally:
        config.feed.close()
        engine.close()


def begin(twin: Any, engine: Any, solver: Any) -> list[dict[str, Any]]:
    """Puts our first values into the twin; groups of its parameters with what the config says of each."""
    import torch

    groups = []
    for part in engine.net.store.segments.values():
        param = twin.get_parameter(f"{part.layer}.{part.role}".replace("/", "."))
        with torch.no_grad():
            param.copy_(torch.from_numpy(np.array(engine.memory.logical(part.handle.data))))
        decay = solver.weight_decay * part.decay_mult
        groups.append({"params": [param], "weight_decay": decay, "lr_mult": part.spec.lr_mult})
    left = {id(param) for param in twin.parameters()} - {id(group["params"][0]) for group in groups}
    assert not left, "the twin has parameters that the net has not"
    return groups


def agree(twin: Any, engine: Any, batch: dict[str, Any]) -> None:
    """Stops where the two nets do not compute the same before the first update (in phase train where statistics are learned)."""
    import copy

    import torch

    learns = any(line.layer.type == "BatchNorm" for line in engine.net.lines)
    graph = engine.pass_through("train" if learns else "test", batch, "train" if learns else "test")
    mine = float(engine.memory.memory(next(iter(graph.losses.values())), engine.plan)[0])
    x, label = tensors(batch)
    before = copy.deepcopy(twin.state_dict())
    with torch.no_grad():
        other = float(torch.nn.functional.cross_entropy(twin.train(learns)(x), label))
    twin.load_state_dict(before)
    if abs(mine - other) > 1e-4 * mine:
        raise SystemExit(f"the twin is another net: its loss begins at {other:.6f}, ours at {mine:.6f}")


def train(twin: Any, groups: list[dict[str, Any]], config: Any) -> None:
    import torch

    solver, horizon = config.solver, config.horizon
    optimizer = torch.optim.SGD(groups, lr=solver.base_lr, momentum=solver.momentum)
    loss = torch.nn.CrossEntropyLoss()
    twin.train()
    for number in range(horizon.max_iter):
        for group in optimizer.param_groups:
            group["lr"] = solver.rates(number, horizon)["lr"] * group["lr_mult"]
        x, label = tensors(config.feed.train_batch(number))
        optimizer.zero_grad()
        loss(twin(x), label).backward()
        optimizer.step()


def judge(twin: Any, feed: Any) -> dict[str, float]:
    import torch

    twin.eval()
    right, loss, count = 0, 0.0, 0
    with torch.no_grad():
        for batch in feed.batches("test"):
            x, label = tensors(batch)
            scores = twin(x)
            right += int((scores.argmax(1) == label).sum())
            loss += float(torch.nn.functional.cross_entropy(scores, label, reduction="sum"))
            count += len(label)
    return {"accuracy": right / count, "loss": loss / count}


def tensors(batch: dict[str, Any]) -> tuple[Any, Any]:
    import torch

    return torch.from_numpy(batch["data"]), torch.from_numpy(batch["label"]).long()


def table(results: list[dict[str, Any]]) -> str:
    """A row a config: means over the seeds, and the range; the difference of the means in points."""
    lines = [f"{'config':20s} {'test':>6s} {'ours':>21s} {'PyTorch':>21s} {'difference':>10s}  loss of both"]
    for result in results:
        ours, peer = result["sides"]["ours"], result["sides"]["torch"]
        points = 100 * (mean(ours["accuracy"]) - mean(peer["accuracy"]))
        row = f"{result['config']:20s} {result['samples']:>6,} {spread(ours['accuracy']):>21s} {spread(peer['accuracy']):>21s}"
        lines.append(f"{row} {points:>+10.2f}  {mean(ours['loss']):.4f} {mean(peer['loss']):.4f}")
    first = results[0]
    seeds = len(first["sides"]["ours"]["accuracy"])
    where = f"{first['machine']}; {first['threads']} threads; {first['date']}"
    return "\n".join([*lines, f"accuracy in %, means of {seeds} seeds (least - most); {where}"])


def spread(values: list[float]) -> str:
    """Mean and range, in per cent."""
    return f"{mean(values) * 100:.2f} ({min(values) * 100:.1f} - {max(values) * 100:.1f})"
