"""Imported nets compute what the original Caffe computed (../shared/golden, where it is there)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.ops.backend import Reference
from dltrain.sketch import fields_of
from dltrain.translate.caffe_draft import Wish, translated
from dltrain.translate.caffe_files import sorted_out
from dltrain.translate.caffe_import import sides
from dltrain.translate.caffe_nets import nets_of
from dltrain.translate.write import write
from dltrain.weights import load

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
TOLERANCE = 1e-5  # of the largest value
SKIPPED = {
    "dropout_train": "the mask is drawn by Caffe's own generator",
    "scale_axis0": "a parameter cannot belong to a sample",
    "split_explicit": "of a net of nothing but Split nothing is left",
    "batch_reindex": "7 places of 5 samples: here all fields have as many samples",
    "lstm_unit": "LSTMUnit is a part of Caffe's LSTM",
}

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")


def cases() -> list[Any]:
    files = sorted(GOLDEN.glob("cases/*.prototxt"))
    return [pytest.param(file, id=file.stem) for file in files] or [None]


@pytest.mark.parametrize("file", cases())
def test_a_layer_is_imported_as_it_was(file: Path, tmp_path: Path) -> None:
    if file.stem in SKIPPED:
        pytest.skip(SKIPPED[file.stem])
    with np.load(file.with_suffix(".npz")) as values:
        golden = dict(values)
    weights = file.with_suffix(".weights.h5")
    theirs = {name[5:]: golden[name] for name in golden if name.startswith("file/")}
    if theirs:  # what the net reads lies beside it
        file = Path(shutil.copy(file, tmp_path))
        for name, content in theirs.items():
            (tmp_path / name).write_bytes(bytes(content))
    files = (str(file), *([str(weights)] if weights.is_file() else []))
    given = sorted_out(files)
    draft, lines, side = translated(given, nets_of(given, None), Wish())
    sides(draft, side, tmp_path, False)
    made = write(draft, tmp_path, False, Console(quiet=True))
    config = configs.read(made["config"], promise=fields_of, need_solver=False)
    phase = "train" if json.loads(bytes(golden["meta"]))["phase"] == "TRAIN" else "test"
    engine = Engine(config.net, Reference(np.float32))
    engine.initialise(1)
    if config.weights is not None:
        load(engine, config.weights.file)
    compare(engine, phase, lines.blobs[phase], golden)
    engine.close()


def compare(engine: Engine, phase: str, blobs: dict[str, str], golden: dict[str, Any]) -> None:
    fields = engine.net.fields
    batch = {name[3:]: golden[name] for name in golden if name.startswith("in/") and name[3:] in fields}
    batch = {name: x.reshape(len(x), *fields[name]).astype(np.int32 if fields[name].dtype == "index" else np.float32)
             for name, x in batch.items()}  # fmt: skip
    for name, state in engine.net.store.states.items():
        if name.endswith(".value"):
            engine.memory.logical(state.handle)[...] = golden[f"in/{name.removesuffix('.value')}"]
    tops = {theirs: ours for theirs, ours in blobs.items() if ours not in fields}
    engine.forward(phase, batch, upto=tuple(tops.values()))
    for theirs, ours in tops.items():
        found, wanted = engine.blob(ours), golden[f"blob/{theirs}"]
        empty = np.abs(wanted) > 1e38
        found = found.reshape(wanted.shape)
        assert np.array_equal(found[empty], wanted[empty])
        error, size = np.abs(found - wanted)[~empty].max(initial=0), np.abs(wanted)[~empty].max(initial=0)
        assert error <= TOLERANCE * size, f"{theirs}: off by {error:.3g}, values up to {size:.3g}"
