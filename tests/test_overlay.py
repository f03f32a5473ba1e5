"""base: a config laid over another: sections key by key, lines by name, and messages that keep their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltrain import config
from dltrain.config import Config
from dltrain.errors import ConfigError

BASE = """\
data: {source: digits, batch_size: 8}
net:
  - {name: fc1, type: InnerProduct, num_output: 20}
  - {name: relu, type: ReLU}
  - {name: fc2, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}
solver: {type: SGD, base_lr: 0.1, momentum: 0.9, max_iter: 4}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)


def read(text: str, *settings: str) -> Config:
    Path("net.yaml").write_text(text)
    return config.read("net.yaml", settings)


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value).splitlines()


def names(made: Config) -> list[str]:
    return [line.name for line in made.net.lines]


def test_a_base_alone_is_the_base() -> None:
    made = read("base: base.yaml\nname: mine\n")
    assert (names(made), made.name) == (["fc1", "relu", "fc2", "loss"], "mine")
    assert "base" not in made.values


def test_sections_merge_key_by_key_and_null_puts_back() -> None:
    made = read("base: base.yaml\nsolver: {base_lr: 0.5, momentum: null}\ndata: {batch_size: 16}\n")
    assert made.solver is not None
    assert (made.solver.base_lr, made.solver.momentum, made.feed.batch_size("train")) == (0.5, 0.0, 16)


def test_another_type_begins_anew() -> None:
    made = read("base: base.yaml\nsolver: {type: Adam, base_lr: 0.001, max_iter: 4}\n")
    assert made.solver is not None
    assert (made.solver.type, made.solver.momentum) == ("Adam", 0.0)


def test_lines_change_by_name() -> None:
    made = read("base: base.yaml\nnet:\n  - {name: fc1, num_output: 30}\n  - {name: relu, type: TanH}\n")
    assert made.net.shapes["train"]["fc1"] == (8, 30)
    assert made.net.lines[1].layer.type == "TanH"


def test_new_lines_come_last_or_where_they_say() -> None:
    lines = (
        "  - {name: last, type: Accuracy, bottom: [fc2, label]}\n  - {name: drop, type: Dropout, after: relu}\n"
        "  - {name: norm, type: BatchNorm, before: relu}\n  - {name: relu, delete: true}\n"
    )
    assert names(read(f"base: base.yaml\nnet:\n{lines}")) == ["fc1", "norm", "drop", "fc2", "loss", "last"]


def test_a_line_of_the_base_may_be_moved() -> None:
    assert names(read("base: base.yaml\nnet:\n  - {name: relu, after: fc2, bottom: fc1}\n  - {name: fc2, bottom: relu}\n")) == [
        "fc1", "fc2", "relu", "loss",
    ]  # fmt: skip


def test_a_base_may_have_a_base_and_vars_and_blocks_go_along() -> None:
    Path("first.yaml").write_text("vars: {n: 3}\nblocks: {b: {net: [{name: r, type: ReLU}]}}\n" + BASE.replace("20", "$n"))
    Path("sub").mkdir()
    Path("sub/second.yaml").write_text("base: ../first.yaml\nvars: {n: 5}\n")
    made = read("base: sub/second.yaml\nnet: [{name: more, type: b, after: fc1}]\n", "vars.n=7")
    assert names(made)[:3] == ["fc1", "more/r", "relu"]
    assert made.net.shapes["train"]["fc1"] == (8, 7)


def test_paths_of_a_base_are_seen_from_the_base() -> None:
    import numpy as np

    Path("sub").mkdir()
    np.savez("sub/a.npz", data=np.zeros((30, 3), np.float32), label=np.arange(30) % 10)
    Path("sub/b.yaml").write_text(BASE.replace("digits", "{type: arrays, file: a.npz}"))
    assert len(read("base: sub/b.yaml\nsolver: {test: null}\n").feed.splits["train"]) == 30


@pytest.mark.parametrize(("text", "told"), [
    ("base: none.yaml\n", "net.yaml:1:7: base: there is no file "),
    ("base: net.yaml\n", "base: net.yaml leads back to itself; write the config out in one of the files"),
    ("base: base.yaml\nnet: [{name: fc3, delete: true}]\n", "net.yaml:2:14: net: delete: the base has no line 'fc3'; did you mean"),
    ("base: base.yaml\nnet: [{name: d, type: Dropout, after: rleu}]\n",
     "net.yaml:2:39: net: after: the base has no line 'rleu'; did you mean 'relu'?"),
    (BASE.replace("name: relu,", "name: relu, after: fc1,"),
     "net.yaml:4:18: net: 'after' places a line in the net of a base; there is no base"),
    ("base: base.yaml\nnet:\n  - {name: fc1, num_ouput: 3}\n",
     "net.yaml:3:17: layer 'fc1' (InnerProduct): unknown key 'num_ouput'; did you mean 'num_output'?"),
])  # fmt: skip
def test_mistakes_keep_their_places(text: str, told: str) -> None:
    assert any(told in line for line in refused(text)), refused(text)


def test_a_mistake_in_the_base_is_told_in_the_base() -> None:
    Path("base.yaml").write_text(BASE.replace("num_output: 20", "num_output: x"))
    told = refused("base: base.yaml\nsolver: {base_lr: 0.2}\n")
    assert len(told) == 1
    assert told[0].endswith("base.yaml:3:49: layer 'fc1' (InnerProduct): 'num_output' must be a whole number, not 'x'")
