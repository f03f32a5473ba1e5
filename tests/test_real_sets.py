"""Configs on real data: they read, their splits have the sizes that are said, and a few iterations run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.evaluate import evaluate
from dltrain.launch import engine_of

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

# the folder in ../shared/data; a sample of the data and its type; splits; classes
SETS = {
    "hymenoptera": ("hymenoptera", (3, 64, 64), np.float32, {"train": 60, "test": 40}, 2),
    "reviews_bow": ("mr_polarity", (10_381,), np.float32, {"train": 8662, "val": 1000, "test": 1000}, 2),
    "reviews_cnn": ("mr_polarity", (40,), np.int32, {"train": 8662, "val": 1000, "test": 1000}, 2),
    "spoken_digits": ("fsdd", (24, 58), np.float32, {"train": 240, "test": 60}, 10),
    "shakespeare_window": ("tinyshakespeare", (12,), np.int32, {"train": 334_614, "val": 18_586, "test": 18_586}, 65),
}


@pytest.mark.parametrize("name", SETS)
def test_a_config_on_a_real_set(name):
    folder, sample, kind, sizes, classes = SETS[name]
    if not (SHARED / folder).is_dir():
        pytest.skip(f"needs ../shared/data/{folder}, which is not here")
    config = configs.read(ROOT / "configs" / f"{name}.yaml")
    feed = config.feed
    assert {split: len(rows) for split, rows in feed.splits.items()} == sizes
    assert config.name == name and feed.source.classes["label"] == classes
    assert config.net.scores()["accuracy"] is True
    rows = np.concatenate(list(feed.splits.values()))
    assert len(np.unique(rows)) == len(rows)  # no sample is in two splits

    engine = engine_of(config, "cpu")
    try:
        for number in range(3):
            batch = feed.train_batch(number)
            assert batch["data"].shape == (feed.batch_size("train"), *sample) and batch["data"].dtype == kind
            assert batch["label"].min() >= 0 and batch["label"].max() < classes
            losses = engine.step([batch], config.solver.rates(number, config.horizon))
            assert np.isfinite(losses["loss"]) and not engine.has_failed
        feed.splits["test"] = feed.splits["test"][:: max(1, len(feed.splits["test"]) // 40)]
        scores = evaluate(engine, feed, "test")
        assert 0 <= scores["accuracy"] <= 1 and 0 < scores["loss"] < 2 * np.log(classes)
    finally:
        feed.close()
        engine.close()
