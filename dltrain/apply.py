"""Using what has been trained: dltrain test and dltrain extract-features, for a run or for a config with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain import config as configs
from dltrain import features, saving, snapshot
from dltrain.config import Config
from dltrain.console import Console, scores_text
from dltrain.engine import Engine
from dltrain.errors import ConfigError, SnapshotError, did_you_mean
from dltrain.evaluate import add_up, details_of, rows_text, scores_of
from dltrain.feed import Feed
from dltrain.launch import engine_of
from dltrain.preflight import check_labels
from dltrain.run import Run
from dltrain.weights import load as load_weights


def trained(
    path: str, weights: str | None, split: str, settings: tuple[str, ...], device: str | None, console: Console
) -> tuple[Config, Engine, Path]:
    """The config, an engine with trained weights in it, and the file they came from; never random weights."""
    run = Run.find(Path(path))
    taken = run.weights() if run is not None and weights is None else None
    saved = saving.transforms(taken[1]) if taken else recalled(weights)
    config = configs.read(run.config if run else path, settings, need_solver=False, saved=saved)
    files = weights_of(path, config, weights) if taken is None else ()
    if split not in config.feed.splits:
        raise ConfigError(f"--split {split}: there is no such split; {did_you_mean(split, config.feed.splits)}")
    config.feed.note = console.note
    engine = engine_of(config, device, with_solver=False)
    if taken is None:
        fill(engine, files)
        return config, engine, Path(files[-1])
    saving.load(*taken, engine, weights_only=True)
    return config, engine, taken[0]


def weights_of(path: str, config: Config, weights: str | None) -> tuple[str, ...]:
    """The file of weights that was named, else those of the config; never none."""
    files = (weights,) if weights is not None else config.weights.file if config.weights is not None else ()
    if not files:
        raise ConfigError(f"{path}: has no weights; give the folder of a run (runs/NAME), or --weights FILE")
    return files


def fill(engine: Engine, files: tuple[str, ...]) -> None:
    """Weights by the names of layers, from any files of weights."""
    try:
        load_weights(engine, files)
    except ConfigError as error:
        raise SnapshotError(f"{files[-1]}: belongs to another net: {error}") from None


def recalled(weights: str | None) -> Any:
    """What transforms had computed, where a file of weights is a snapshot."""
    try:
        return saving.transforms(snapshot.read(Path(weights))) if weights is not None else None
    except SnapshotError:  # no snapshot, perhaps; what it is otherwise is told when it is read
        return None


def test(path: str, split: str, weights: str | None, settings: tuple[str, ...], device: str | None, console: Console) -> None:
    """dltrain test"""
    config, engine, file = trained(path, weights, split, settings, device, console)
    try:
        if not config.net.scores():
            raise ConfigError(f"{path}: nothing to score: the net has no loss and no metric in phase test")
        check_labels(config)
        console.note(f"weights {file}")
        console.note(f"device  {engine.about()}")
        sums = add_up(engine, config.feed, split)
        count = judged(config.feed, split, console)
        scores, details = scores_of(engine.net, sums), details_of(engine.net, sums)
        for name, rows in details.items():
            console.note(f"{name} (rows: labels; columns: what they are taken for)\n{rows_text(rows)}")
        console.result(
            {"scores": scores, "details": details, "samples": count, "split": split, "weights": str(file)},
            f"{split}: {scores_text(scores)}  ({count:,} samples, {file.name})",
        )
    finally:
        config.feed.close()
        engine.close()


def judged(feed: Feed, split: str, console: Console) -> int:
    """How many samples of a split were used; those that could not be read are named."""
    for why in feed.reader.skipped.values():
        console.note(f"left out: {why}")
    return len(feed.rows(split))


def extract_features(
    path: str,
    blobs: tuple[str, ...],
    out: str,
    split: str,
    weights: str | None,
    settings: tuple[str, ...],
    device: str | None,
    console: Console,
) -> None:
    """dltrain extract-features"""
    config, engine, file = trained(path, weights, split, settings, device, console)
    try:
        features.check(engine, blobs, Path(out))
        console.note(f"weights {file}")
        shapes = features.extract(engine, config.feed, split, blobs, Path(out))
        words = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
        console.result(
            {"out": out, "samples": judged(config.feed, split, console), "blobs": shapes, "split": split, "weights": str(file)},
            f"{out}: {words}",
        )
    finally:
        config.feed.close()
        engine.close()
