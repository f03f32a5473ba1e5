"""Sequences cut to the longest of their batch: every length a graph of its own, over the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltrain import config
from dltrain.engine import Engine
from dltrain.errors import ConfigError
from dltrain.ops.backend import Reference

TEXT = """\
data:
  source: {{type: text_lines, files: {{a: a.txt, b: b.txt}}}}
  batch_size: 4
  {more}
net:
  - {{name: embed, type: Embed, num_output: 3, input_dim: $data.vocabulary}}
  - {{name: rnn, type: RNN, num_output: 4}}
  - {{name: ip, type: InnerProduct, num_output: 2, bottom: rnn.state}}
  - {{name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}}
solver: {{type: SGD, base_lr: 0.1, max_iter: 3, test: null}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    for name, start in (("a", 0), ("b", 2)):
        lines = [" ".join(words[(start + n) % 7] for n in range(length)) for length in (2, 2, 2, 2, 3, 3, 3, 3, 6, 6, 6, 6)]
        Path(f"{name}.txt").write_text("\n".join(lines) + "\n")


def read(more: str) -> config.Config:
    Path("net.yaml").write_text(TEXT.format(more=more))
    return config.read("net.yaml")


def test_batches_of_one_length_are_cut_to_it() -> None:
    feed = read("trim: true\n  sampling: {type: lengths, by: length}").feed
    shapes = {feed.train_batch_now(k)["data"].shape[1] for k in range(6)}
    assert shapes == {2, 3, 6}
    for k in range(6):
        batch = feed.train_batch_now(k)
        assert set(batch["length"]) == {batch["data"].shape[1]}
        assert (batch["data"] > 0).all()


def test_without_trim_all_batches_have_one_length() -> None:
    feed = read("sampling: {type: lengths, by: length}").feed
    assert {feed.train_batch_now(k)["data"].shape for k in range(6)} == {(4, 6)}


def test_every_length_is_a_graph_over_the_same_weights() -> None:
    """A step over a batch that is cut moves the weights as a step over a source that has no longer lines."""
    made = read("trim: true\n  sampling: {type: lengths, by: length}")
    assert made.solver is not None
    engine = Engine(made.net, Reference(np.float64), made.solver)
    engine.initialise(1)
    losses = [engine.step([made.feed.train_batch_now(k)], made.solver.rates(k, made.horizon))["loss"] for k in range(6)]
    assert {graph.sizes for graph in made.net.graphs if graph.phase == "train"} == {(4, 2), (4, 3), (4,)}
    assert np.isfinite(losses).all()
    short = [k for k in range(6) if made.feed.train_batch_now(k)["data"].shape[1] == 2][0]
    batch = made.feed.train_batch_now(short)
    engine.forward("test", batch, "test", ("ip",))
    cut = engine.blob("ip")
    one = np.concatenate([batch["data"], np.zeros((4, 4), np.int32)], axis=1)
    engine.forward("test", {**batch, "data": one}, "test", ("ip",))
    assert not np.allclose(cut, engine.blob("ip"))  # the state after six steps, four of them of filling


def test_only_sequences_can_be_cut() -> None:
    Path("net.yaml").write_text("data: {source: digits, trim: true}\nnet:\n  - {name: ip, type: InnerProduct, num_output: 10}\n"
                                "  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n"
                                "solver: {type: SGD, base_lr: 0.1, max_iter: 1}\n")  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"net\.yaml:1:30: data: trim: digits has no sequences with a field length; leave trim out"
    ):
        config.read("net.yaml")
