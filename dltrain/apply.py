"""Using what has been trained: dltrain test and dltrain extract-features, for a run or for a config with weights."""

from __future__ import annotations

from pathlib import Path

from dltrain import config as configs
from dltrain import features, saving, snapshot
from dltrain.config import Config
from dltrain.console import Console, scores_text
from dltrain.engine import Engine
from dltrain.errors import ConfigError, did_you_mean
from dltrain.evaluate import add_up, details_of, rows_text, scores_of
from dltrain.feed import Feed
from dltrain.launch import engine_of
from dltrain.preflight import check_labels
from dltrain.run import Run


def trained(
    path: str, weights: str | None, split: str, settings: tuple[str, ...], device: str | None, console: Console
) -> tuple[Config, Engine, Path]:
    """The config, an engine with trained weights in it, and the file they came from; never random weights."""
    run = Run.find(Path(path))
    if weights is not None:
        file, made = Path(weights), snapshot.read(Path(weights))
    elif run is not None:
        file, made = run.weights()
    else:
        raise ConfigError(f"{path}: has no weights; give the folder of a run (runs/NAME), or --weights FILE")
    config = configs.read(run.config if run else path, settings, need_solver=False, saved=saving.transforms(made))
    if split not in config.feed.splits:
        raise ConfigError(f"--split {split}: there is no such split; {did_you_mean(split, config.feed.splits)}")
    config.feed.note = console.note
    engine = engine_of(config, device, with_solver=False)
    saving.load(file, made, engine, weights_only=True)
    return config, engine, file


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
