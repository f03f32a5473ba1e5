"""Small nets over sequences, end to end: text that continues, spoken digits, reviews, a language, pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
Result = Callable[..., dict[str, Any]]
CLASSES = """
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: accuracy, type: Accuracy, bottom: [ip, label], phase: test}
"""


def shared(name: str) -> str:
    if not (SHARED / name).exists():
        pytest.skip(f"needs ../shared/data/{name}, which is not here")
    return str((SHARED / name).resolve())


def train(result: Result, tmp_path: Path, text: str, *more: str) -> dict[str, Any]:
    (tmp_path / "some.yaml").write_text(text)
    return result("train", "some.yaml", *more)


def test_characters_that_continue(result: Result, tmp_path: Path) -> None:
    text = f"""
data:
  source: {{type: text, file: {shared("tinyshakespeare/input.txt.gz")}, val: 0.02, length: 20, continues: true}}
  batch_size: 50
net:
  - {{name: e, type: Embed, bottom: data, input_dim: 65, num_output: 16}}
  - {{name: lstm, type: LSTM, bottom: {{x: e, cont: cont}}, num_output: 32, carry: true}}
  - {{name: ip, type: InnerProduct, num_output: 65, axis: 2}}
  - {{name: loss, type: SoftmaxWithLoss, bottom: [ip, label], axis: 2}}
solver: {{type: Adam, base_lr: 0.02, max_iter: 60, test: 60, snapshot: null}}
"""
    made = train(result, tmp_path, text)
    assert made["scores"]["val.loss"] < 3.0  # log 65 is 4.17
    assert train(result, tmp_path, text, "--set", "data.workers={processes: 1}")["state_hash"] == made["state_hash"]


def test_spoken_digits(result: Result, tmp_path: Path) -> None:
    text = f"""
data:
  source: {{type: wav_folder, root: {shared("fsdd/recordings")}, files: "{{label}}_{{speaker}}_{{take:int}}.wav"}}
  batch_size: 30
  test: {{where: "take < 5"}}
  val: {{where: "take == 5"}}
  transform: [{{cut: 4000}}, {{shift: 200}}, {{echo: 200, decay: 0.2}}, {{background: 20}}, {{mel: 20, rate: 8000}}]
net:
  - {{name: bn, type: BatchNorm, bottom: data}}
  - {{name: ip, type: InnerProduct, num_output: 10}}{CLASSES}
solver: {{type: Adam, base_lr: 0.01, max_epochs: 6, snapshot: null}}
"""
    made = train(result, tmp_path, text)
    assert made["scores"]["val.accuracy"] > 0.3  # by chance 0.1


def test_reviews_in_batches_of_one_length(result: Result, tmp_path: Path) -> None:
    files = {name: shared(f"mr_polarity/rt-polarity.{name}.gz") for name in ("pos", "neg")}
    text = f"""
data:
  source: {{type: text_lines, files: {{pos: {files["pos"]}, neg: {files["neg"]}}}, encoding: latin-1, length: 40, min_count: 2}}
  val: {{hold_out: 1000}}
  transform: [{{typos: 0.05}}]
  sampling: {{type: lengths, by: length}}
net:
  - {{name: e, type: Embed, bottom: data, input_dim: 12000, num_output: 8}}
  - {{name: ip, type: InnerProduct, num_output: 2}}{CLASSES}
solver: {{type: Adam, base_lr: 0.01, max_epochs: 1, snapshot: null}}
"""
    assert train(result, tmp_path, text)["scores"]["val.accuracy"] > 0.56


def test_a_language_that_needs_counting(result: Result, tmp_path: Path) -> None:
    text = """
data: {source: {type: generated, task: an_bn, length: 12, samples: {train: 2000, val: 200}}, batch_size: 50}
net:
  - {name: e, type: Embed, bottom: data, input_dim: 3, num_output: 4}
  - {name: lstm, type: LSTM, num_output: 8}
  - {name: ip, type: InnerProduct, num_output: 3, axis: 2}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label, weight], axis: 2}
  - {name: accuracy, type: Accuracy, bottom: [ip, label, weight], axis: 2, phase: test}
solver: {type: Adam, base_lr: 0.03, max_epochs: 4, snapshot: null}
"""
    assert train(result, tmp_path, text)["scores"]["val.accuracy"] > 0.9


def test_pairs_of_digits(result: Result, tmp_path: Path) -> None:
    text = """
data: {source: {type: pairs, of: digits}, batch_size: 50, transform: [{scale: 0.004}, {scale: 0.004, top: data_p}]}
net:
  - {name: a, type: InnerProduct, bottom: data, num_output: 8}
  - {name: b, type: InnerProduct, bottom: data_p, num_output: 8}
  - {name: loss, type: ContrastiveLoss, bottom: [a, b, sim]}
solver: {type: Adam, base_lr: 0.003, max_epochs: 2, snapshot: null}
"""
    assert train(result, tmp_path, text)["scores"]["val.loss"] < 0.25
