"""Everything between the command line and the loop: a new run or an old one, a device, a pre-flight, and the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain import catalogue, preflight, saving  # noqa: F401  the catalogue fills the registries
from dltrain import config as configs
from dltrain.config import Config
from dltrain.console import Console, scores_text
from dltrain.devices import backend, slow_kernels
from dltrain.engine import Engine
from dltrain.errors import ConfigError, Stopped
from dltrain.fillers import symmetric
from dltrain.hooks import Display, Ends, Guard, Sitting, Snapshots, Test
from dltrain.marks import load
from dltrain.progress import Best, Progress
from dltrain.recall import record
from dltrain.resident import Resident, may_reside
from dltrain.run import Run, locate
from dltrain.table import table
from dltrain.train import train
from dltrain.weights import Report
from dltrain.weights import load as load_weights

FREE_TO_CHANGE = {"max_iter", "max_epochs", "max_time", "display", "snapshot"}  # of solver: they do not change the mathematics


def engine_of(config: Config, device: str | None, with_solver: bool = True) -> Engine:
    said = config.engine
    made = backend(device or said.device, said.threads, said.precision, said.graph)
    engine = Engine(config.net, made, config.solver if with_solver else None)
    if with_solver:
        engine.check_room("train", config.feed.batch_size("train"))
    engine.initialise(config.seed)
    return engine


def start(
    path: str, settings: tuple[str, ...], weights: tuple[str, ...], device: str | None, runs: str, console: Console
) -> dict[str, Any]:
    """dltrain train CONFIG"""
    config = configs.read(path, settings)
    config.feed.note = console.note
    preflight.check_labels(config)
    engine, run = engine_of(config, device), None
    try:
        begun = begin_with(config, engine, weights)
        run = Run.create(Path(runs), config.name, config.fingerprint)
        run.write_config(config.values)
        run.write_json("environment.json", engine.environment())
        run.write_json("data.json", record(config.feed))
        progress = Progress()
        follow(config, progress)
        announce(config, engine, run, console)
        if begun is not None:
            console.note(f"weights {begun}")
        preflight.fly(config, engine, run, console)
        run.event("start", fingerprint=config.fingerprint, config=path)
        return go(Sitting(config, engine, run, progress, console))
    finally:
        leave(config, engine, run)


def leave(config: Config, engine: Engine, run: Run | None) -> None:
    """Ends the threads and processes, and lets go of the folder."""
    config.feed.close()
    engine.close()
    if run is not None:
        run.release()


def begin_with(config: Config, engine: Engine, files: tuple[str, ...]) -> Report | None:
    """First values from files: those of the command line, else those of the config."""
    said = config.weights
    chosen = files or (said.file if said is not None else ())
    return load_weights(engine, chosen, said.fresh if said is not None else ()) if chosen else None


def resume(path: str, settings: tuple[str, ...], device: str | None, console: Console) -> dict[str, Any]:
    """dltrain train --resume RUN"""
    run = locate(path)
    run.take()
    file, snapshot = run.newest()
    document = load(run.config)
    before = configs.read(run.config, (), saved=saving.transforms(snapshot), document=document)
    config = configs.read(run.config, settings, saved=saving.transforms(snapshot)) if settings else before
    refuse_changes(before, config)
    config.feed.note = console.note
    engine = engine_of(config, device)
    try:
        saving.load(file, snapshot, engine)
        progress = Progress.restore(snapshot.run["progress"])
        engine.step_count, progress.reason = progress.forwards, None
        run.cut_metrics(progress.iteration, bool(progress.history) and progress.history[-1][0] == progress.iteration)
        if settings:
            run.write_config(config.values)
        announce(config, engine, run, console)
        console.note(
            f"resuming after iteration {progress.iteration} from {file.name}, state {saving.state_hash(engine, progress)[:12]}"
        )
        then, now = snapshot.run["environment"], engine.environment()
        unlike = [key for key in ("device", "threads", "kernels", "blas", "numpy") if then.get(key) != now.get(key)]
        if unlike:
            console.note(
                f"continues, not bit for bit: {', '.join(f'{key} was {then.get(key)}, is {now.get(key)}' for key in unlike)}"
            )
        run.event("resume", iteration=progress.iteration)
        sitting = Sitting(config, engine, run, progress, console)
        sitting.saved_at = progress.iteration
        return go(sitting)
    finally:
        leave(config, engine, run)


def refuse_changes(before: Config, after: Config) -> None:
    """A resumed run computes what it began; keys that would change the mathematics are named."""
    changed = sorted(differences(before.values, after.values))
    policies = [policy for _, policy in after.solver.policies] if after.solver else []
    free = {f"solver.{key}" for key in FREE_TO_CHANGE}
    free -= {"solver.max_iter", "solver.max_epochs"} if any(policy.to_the_end for policy in policies) else set()
    wrong = [key for key in changed if not any(key == word or key.startswith(word + ".") for word in {*free, "engine", "name"})]
    if wrong:
        raise ConfigError(f"--resume cannot change {', '.join(wrong)}: it would be another run; start one with dltrain train")


def differences(a: Any, b: Any, path: str = "") -> set[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return {key for word in {*a, *b} for key in differences(a.get(word), b.get(word), f"{path}.{word}".lstrip("."))}
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        names = [item.get("name", str(index)) if isinstance(item, dict) else str(index) for index, item in enumerate(a)]
        return {key for name, x, y in zip(names, a, b, strict=True) for key in differences(x, y, f"{path}.{name}")}
    return set() if a == b else {path}


def follow(config: Config, progress: Progress) -> None:
    """Sets up what best.h5 is chosen by and what early stopping watches."""
    stopping, spec = config.loop.early_stopping, config.loop.snapshot
    chosen = (spec.best if spec else None) or (stopping.monitor if stopping else None)
    if chosen is not None:
        progress.best = Best(*config.monitored(chosen))
    if stopping is not None:
        score, higher = config.monitored(stopping.monitor)
        progress.early = Best(score, higher if stopping.mode is None else stopping.mode == "max")
        if stopping.monitor == chosen and progress.best is not None:
            progress.best.higher = progress.early.higher


def announce(config: Config, engine: Engine, run: Run, console: Console) -> None:
    """Before iteration 1: where, on what, and the table of the net."""
    console.note(f"run     {run.folder}")
    console.note(f"device  {engine.about()}")
    warning = slow_kernels()
    if warning:
        console.note(f"note    {warning}")
    feed, size = config.feed, config.feed.batch_size("train")
    console.note(f"data    {feed.source.type}: " + ", ".join(f"{name} {len(rows):,}" for name, rows in feed.splits.items()))
    alike = symmetric(config.net)
    if alike:
        console.note(f"note    {', '.join(alike)}: all values begin equal, so the units compute the same; give them filler: msra")
    plan = engine.plan_of(config.net.graph("train", (size,), "train"), update=True)
    console.note(table(config.net, size, plan))


def go(sitting: Sitting) -> dict[str, Any]:
    """The loop with its hooks, the last test, the last snapshot, and the result."""
    console, run, progress = sitting.console, sitting.run, sitting.progress
    if sitting.engine.is_late and may_reside(sitting.feed, sitting.engine.backend.free_bytes()):
        sitting.train_batches = Resident(sitting.feed).train_batches
        console.note("data    the training samples are kept on the device")
    elif sitting.engine.is_late:
        sitting.feed.leave_raw()
    display, test, ends = Display(), Test(), Ends()
    console.begin(progress.iteration, sitting.horizon.max_iter)
    try:
        spec = sitting.config.loop.test
        if spec is not None and spec.initial and progress.iteration == 0 and not progress.history:
            test.test(sitting)
        over = sitting.horizon.max_iter and progress.iteration >= sitting.horizon.max_iter
        reason = "max_iter" if over else train(sitting, [Guard(), display, test, ends, Snapshots()])
        progress.reason = reason
        Snapshots.save(sitting)  # before a test off the beat, which a longer run would not have
        tested = progress.history and progress.history[-1][0] == progress.iteration
        if spec is not None and reason != "signal" and not tested:
            test.test(sitting)
            progress.reason = reason
        display.tell_skipped(sitting)
    finally:
        console.end()
        ends.restore()
    run.event("end", reason=reason, iteration=progress.iteration)
    if reason == "signal":
        raise Stopped(
            f"stopped by {ends.signal} after iteration {progress.iteration}, saved; to go on: dltrain train --resume {run.folder}"
        )
    return report(sitting, reason)


def report(sitting: Sitting, reason: str) -> dict[str, Any]:
    """What `dltrain train` gives: one object, and the same in words."""
    run, progress = sitting.run, sitting.progress
    scores = progress.history[-1][1] if progress.history else {}
    best = (
        {"score": progress.best.score, "value": progress.best.value, "iteration": progress.best.iteration}
        if progress.best and progress.best.value is not None
        else {}
    )
    made = {"run": str(run.folder), "iterations": progress.iteration, "reason": reason, "scores": scores, "best": best,
            "skipped": len(sitting.feed.reader.skipped), "state_hash": saving.state_hash(sitting.engine, progress)}  # fmt: skip
    words = [f"{reason} after {progress.iteration} iterations, {progress.seconds:.1f} s.  {scores_text(scores)}"]
    if best:
        chosen = " (chosen on test)" if str(best["score"]).startswith("test.") else ""
        words.append(
            f"best {best['score']} {best['value']:.4f} after iteration {best['iteration']}{chosen}, in best.h5, which test uses"
        )
    words.append(f"run {run.folder}\nstate {made['state_hash']}\nnext: dltrain test {run.folder}")
    run.write_json("summary.json", made)
    sitting.console.result(made, "\n".join(words))
    return made
