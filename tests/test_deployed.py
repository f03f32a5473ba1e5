"""dltrain predict of a config that is no run: its own weights, and its data gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import snapshot
from dltrain.deployed import Deployed
from dltrain.errors import ConfigError, DataError, SnapshotError
from tests.data.test_lmdb_files import png

NET = "net: [{name: ip, type: InnerProduct, num_output: 2}]\n"
BLANK = "data: {source: {type: blank, shapes: {data: [3, 2, 2]}}}\n"
GONE = "data: {source: {type: lmdb, train: gone.lmdb, color: bgr, shapes: {data: [3, 2, 2], label: []}}}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weight = np.zeros((2, 12), np.float32)
    weight[0, 0] = weight[1, 11] = 1  # the first number of the first channel, the last of the last
    snapshot.write(Path("w.h5"), snapshot.Snapshot({"data/ip/0": weight, "data/ip/1": np.zeros(2, np.float32)}))
    Path("p.png").write_bytes(png(2, 2, 10))


def said(text: str, weights: str | None = None) -> Any:
    Path("c.yaml").write_text(text)
    deployed = Deployed("c.yaml", weights, (), "cpu", None)
    try:
        batch = deployed.load(Path("p.png"))
        deployed.engine.forward("deploy", batch, upto=("ip",))
        return np.array(deployed.engine.blob("ip"))[0].tolist()
    finally:
        deployed.close()


def test_a_config_names_its_weights() -> None:
    assert said("weights: w.h5\n" + BLANK + NET) == [10, 12]
    assert said(BLANK + NET, "w.h5") == [10, 12]


def test_without_any_there_is_nothing_to_use() -> None:
    with pytest.raises(ConfigError, match="c.yaml: has no weights; give the folder of a run"):
        said(BLANK + NET)
    with pytest.raises(SnapshotError, match=r"w.h5: belongs to another net: weights: other .* is in no file"):
        said("weights: w.h5\n" + BLANK + NET.replace("ip", "other"))


def test_data_that_are_gone_are_not_needed_where_their_shapes_are_told() -> None:
    assert said("weights: w.h5\n" + GONE + NET) == [12, 10]  # blue first, as the database has it
    with pytest.raises(DataError, match="gone.lmdb: there is no LMDB"):
        said("weights: w.h5\n" + GONE.replace(", shapes: {data: [3, 2, 2], label: []}", "") + NET)


def test_what_only_the_data_tell_is_asked_for() -> None:
    text = GONE.replace("}}\n", "}, transform: [{mean: channel}]}\n")
    with pytest.raises(SnapshotError, match="does not hold what data.transform.0 computes over the training samples"):
        said("weights: w.h5\n" + text + NET)
