"""From a text to checked objects: defaults, short forms, units, patterns, included files, monitors and splits."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain import config
from dltrain.config import Config
from dltrain.errors import ConfigError, DataError
from dltrain.fields import Span
from dltrain.marks import parse
from dltrain.sections import Display, Snapshots, Test
from dltrain.solver import Horizon

Test.__test__ = False  # type: ignore[attr-defined]  # a section, no test

NET = """\
  - {name: ip1, type: InnerProduct, num_output: 5}
  - {name: relu1, type: ReLU}
  - {name: ip2, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip2, label]}
  - {name: right, type: Accuracy, bottom: [ip2, label], phase: test}
"""
BASE = f"""\
data: {{source: digits, batch_size: 64}}
net:
{NET}solver: {{type: SGD, base_lr: 0.1, max_epochs: 3}}
"""


def read(text: str, *settings: str, **more: Any) -> Config:
    return config.read("net.yaml", settings, document=parse(text, "net.yaml"), **more)


def changed(old: str, new: str, text: str = BASE) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def solver(words: str) -> str:
    return changed("max_epochs: 3", words)


def data(words: str) -> str:
    return changed("batch_size: 64", words)


def refused(text: str, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, *settings)
    return str(caught.value).splitlines()


# --- the loop ---
def test_the_loop_watches_itself_by_default() -> None:
    loop = read(BASE).loop
    assert loop.display == Display(interval=Span(100, "iterations"))
    assert loop.test == Test(interval=Span(1, "epochs"), initial=False)
    assert loop.snapshot == Snapshots(interval=Span(1, "epochs"), keep=2, best=None)
    assert (loop.early_stopping, loop.max_iter, loop.max_epochs, loop.max_time) == (None, None, 3.0, None)


@pytest.mark.parametrize("section", ["display", "test", "snapshot", "early_stopping"])
def test_null_switches_a_section_off_and_no_other(section: str) -> None:
    loop = read(solver(f"max_epochs: 3, {section}: null")).loop
    for name in ("display", "test", "snapshot"):
        assert (getattr(loop, name) is None) == (name == section)
    assert loop.early_stopping is None


@pytest.mark.parametrize("key", ["max_iter", "max_epochs", "max_time"])
def test_null_takes_one_end_away(key: str) -> None:
    ends = {"max_iter": "max_iter: 10", "max_epochs": "max_epochs: 2", "max_time": "max_time: 1 h"}
    loop = read(solver(", ".join([*ends.values()])), f"solver.{key}=null").loop
    assert {name for name in ends if getattr(loop, name) is None} == {key}


@pytest.mark.parametrize(("words", "section", "found"), [
    ("snapshot: 5 epochs", "snapshot", Snapshots(interval=Span(5, "epochs"))),
    ("snapshot: 500", "snapshot", Snapshots(interval=Span(500))),
    ("snapshot: 20 min", "snapshot", Snapshots(interval=Span(1200, "seconds"))),
    ("snapshot: {interval: 5 epochs, keep: 3}", "snapshot", Snapshots(interval=Span(5, "epochs"), keep=3)),
    ("snapshot: {keep: 3}", "snapshot", Snapshots(keep=3)), ("snapshot: {}", "snapshot", Snapshots()),
    ("test: 500", "test", Test(interval=Span(500))), ("test: 2 epochs", "test", Test(interval=Span(2, "epochs"))),
    ("test: {initial: true}", "test", Test(initial=True)),
    ("test: {interval: 7, initial: true}", "test", Test(interval=Span(7), initial=True)),
    ("display: 1", "display", Display(interval=Span(1))),
    ("display: {interval: 0.5 epochs}", "display", Display(interval=Span(0.5, "epochs"))),
])  # fmt: skip
def test_a_section_takes_its_main_value_bare(words: str, section: str, found: Any) -> None:
    assert getattr(read(solver(f"max_epochs: 3, {words}")).loop, section) == found


UNITS = {
    "500": Span(500), "1": Span(1), "5e2": Span(500), "500.0": Span(500), "500 iterations": Span(500), "1 iteration": Span(1),
    "3 epochs": Span(3, "epochs"), "1 epoch": Span(1, "epochs"), "0.5 epochs": Span(0.5, "epochs"),
    "2.25 epochs": Span(2.25, "epochs"),
    "3epochs": Span(3, "epochs"), "20 s": Span(20, "seconds"), "20 min": Span(1200, "seconds"), "1.5 h": Span(5400, "seconds"),
}  # fmt: skip


@pytest.mark.parametrize("text", UNITS)
def test_a_length_has_a_unit(text: str) -> None:
    assert read(solver(f"max_epochs: 3, snapshot: {text}")).loop.snapshot == Snapshots(interval=UNITS[text])


@pytest.mark.parametrize("text", [
    "0", "-1", "0 epochs", "-3 epochs", "3 epoch s", "3 weeks", "3 Epochs", "epochs", "3 epochs 2", "2.5", "0.5",
    "2.5 iterations", ".inf",
    ".nan", "1e400", "true", "20 minutes", "1:30", "[5]", "''", "3 * 4", "١٢ epochs",
])  # fmt: skip
def test_a_length_that_is_none_is_told_with_the_way_out(text: str) -> None:
    told = refused(solver(f"max_epochs: 3, test: {text}"))
    assert len(told) == 1, told
    assert told[0].startswith("net.yaml:8:")
    assert "solver: 'test" in told[0]


def test_a_wrong_unit_is_told_in_full() -> None:
    assert refused(solver("max_iter: 3 weeks")) == [
        "net.yaml:8:45: solver: 'max_iter' cannot be '3 weeks'; write 500 (iterations), 3 epochs, 20 min or 2 h"
    ]


@pytest.mark.parametrize(("words", "told"), [
    ("max_iter: 20 min", "max_iter cannot be 1200 seconds; max_time takes a time"),
    ("max_epochs: 3, max_time: 500", "max_time cannot be 500 iterations; write 20 min"),
    ("max_epochs: 3, max_time: 3 epochs", "max_time cannot be 3 epochs; write 20 min"),
    ("max_epochs: 3, test: 20 min", "test counts iterations or epochs, so that a run can be repeated; write 1 epoch"),
    ("max_epochs: 3, early_stopping: {monitor: right, patience: 1 h}", "patience counts iterations or epochs; write 5 epochs"),
])  # fmt: skip
def test_a_unit_that_does_not_fit_is_refused(words: str, told: str) -> None:
    found = refused(solver(words))
    assert len(found) == 1 and found[0].endswith(f": solver: {told}")


# --- how long a run is ---
@pytest.mark.parametrize(("words", "iterations"), [  # 1257 samples in batches of 64: 19.64 an epoch
    ("max_iter: 7", 7), ("max_epochs: 1", 20), ("max_epochs: 3", 59), ("max_epochs: 0.5", 10), ("max_iter: 2 epochs", 40),
    ("max_iter: 30, max_epochs: 1", 20), ("max_iter: 10, max_epochs: 1", 10), ("max_time: 1 h", 0),
    ("max_time: 1 h, max_iter: 5", 5),
    ("max_epochs: 1, iter_size: 2", 10), ("max_epochs: 3, iter_size: 4", 15), ("max_iter: 7, iter_size: 4", 7),
])  # fmt: skip
def test_the_first_end_counts_and_an_epoch_ends_with_its_last_sample(words: str, iterations: int) -> None:
    horizon = read(solver(words)).horizon
    assert horizon.max_iter == iterations
    assert horizon.per_epoch == Fraction(1257, 64 * int((re.search(r"iter_size: (\d)", words) or [0, 1])[1]))


def test_a_run_without_an_end_is_refused() -> None:
    assert refused(solver("momentum: 0.9")) == ["net.yaml:8:9: solver: never ends; add max_iter, max_epochs or max_time"]


def test_a_net_without_a_loss_is_refused() -> None:
    told = refused(changed("type: SoftmaxWithLoss", "type: Accuracy"))
    assert [line.split(": ", 1)[1] for line in told] == [
        "net: nothing to train for: there is no loss in phase train; add a loss such as SoftmaxWithLoss"
    ]
    assert "no loss in phase train" in refused(changed("[ip2, label]}", "[ip2, label], phase: test}"))[0]


# --- the rate ---
def rate(words: str, iteration: int, per_epoch: Fraction = Fraction(10)) -> float:
    found = read(solver(f"max_epochs: 3, lr_policy: {words}")).solver
    assert found is not None
    return float(found.rates(iteration, Horizon(30, per_epoch))["lr"])


def test_a_policy_may_stand_inside_another() -> None:
    words = "{type: warmup, iterations: 4, start: 0.2, then: {type: inv, gamma: 0.5, power: 2}}"
    for iteration in range(9):
        rise = 0.2 + 0.8 * min(1, iteration / 4)
        assert rate(words, iteration) == pytest.approx(0.1 * rise * (1 + 0.5 * iteration) ** -2, rel=1e-12)


def test_a_policy_counts_in_epochs_where_it_says_so() -> None:
    words = "{type: multistep, gamma: 0.1, stepvalue: [5, 1 epoch, 1.55 epochs]}"
    assert [round(rate(words, iteration), 9) for iteration in (4, 5, 9, 10, 15, 16)] == [0.1, 0.01, 0.01, 0.001, 0.001, 0.0001]


def test_a_policy_without_keys_may_stand_bare() -> None:
    assert rate("fixed", 5) == rate("{type: fixed}", 5) == rate("null", 5) == 0.1


def test_a_mistake_inside_a_nested_policy_has_its_place() -> None:
    words = "max_epochs: 3, lr_policy: {type: warmup, iterations: 4, then: {type: inv, gamma: -1, power: 2}}"
    told = refused(solver(words))
    assert told == ["net.yaml:8:116: solver (SGD): lr_policy (warmup): then (inv): 'gamma' must be at least 0, not -1"]


# --- parameters ---
def specs(words: str, net: str = "") -> dict[str, tuple[float, float, bool]]:
    """(lr_mult, decay_mult, frozen) of each parameter."""
    text = solver(f"max_epochs: 3, param: {words}")
    store = read(changed("num_output: 5}", f"num_output: 5, param: {net}}}", text) if net else text).net.store
    return {part.name: (part.spec.lr_mult, part.decay_mult, part.frozen) for part in store.segments.values()}


PLAIN = {"ip1.weight": (1, 1, False), "ip1.bias": (1, 0, False), "ip2.weight": (1, 1, False), "ip2.bias": (1, 0, False)}


@pytest.mark.parametrize(("words", "net", "found"), [
    ("{}", "", {}), ("null", "", {}),
    ('{"*.bias": {lr_mult: 2}}', "", {"ip1.bias": (2, 0, False), "ip2.bias": (2, 0, False)}),
    ("{ip1: {lr_mult: 3}}", "", {"ip1.weight": (3, 1, False), "ip1.bias": (3, 0, False)}),
    ('{"ip*": {freeze: true}}', "", {name: (lr, decay, True) for name, (lr, decay, _) in PLAIN.items()}),
    ('{"ip?": {lr_mult: 0}}', "", {name: (0, decay, True) for name, (_, decay, _) in PLAIN.items()}),
    ("{ip2.weight: {decay_mult: 0.5}}", "", {"ip2.weight": (1, 0.5, False)}),
    ('{"*.bias": {decay_mult: 1}}', "", {"ip1.bias": (1, 1, False), "ip2.bias": (1, 1, False)}),
    ('{"*": {lr_mult: 2}, "ip1.*": {lr_mult: 3}}', "", {"ip1.weight": (3, 1, False), "ip1.bias": (3, 0, False),
                                                        "ip2.weight": (2, 1, False), "ip2.bias": (2, 0, False)}),
    ('{"ip1.*": {lr_mult: 3}, "*": {lr_mult: 2}}', "", {name: (2, decay, False) for name, (_, decay, _) in PLAIN.items()}),
    ('{"*": {lr_mult: 2, decay_mult: 4}, "*.bias": {lr_mult: 3}}', "",
     {"ip1.weight": (2, 4, False), "ip2.weight": (2, 4, False), "ip1.bias": (3, 4, False), "ip2.bias": (3, 4, False)}),
    ('{"*": {lr_mult: 2}}', "{weight: {lr_mult: 10}}",
     {"ip1.weight": (10, 1, False), "ip1.bias": (2, 0, False), "ip2.weight": (2, 1, False), "ip2.bias": (2, 0, False)}),
    ('{"*": {freeze: true}}', "{weight: {freeze: false}}",
     {"ip1.weight": (1, 1, False), "ip1.bias": (1, 0, True), "ip2.weight": (1, 1, True), "ip2.bias": (1, 0, True)}),
])  # fmt: skip
def test_the_last_pattern_decides_and_the_layer_itself_before_all(words: str, net: str, found: dict[str, Any]) -> None:
    assert specs(words, net) == PLAIN | found


def test_a_filler_may_be_given_by_pattern_and_by_the_layer() -> None:
    text = changed("num_output: 5}", "num_output: 5, param: {bias: {filler: {type: constant, value: 7}}}}",
                   solver('max_epochs: 3, param: {"*": {filler: {type: constant, value: 2}}}'))  # fmt: skip
    segments = read(text).net.store.segments
    assert {part.name: set(part.fill(1).reshape(-1)) for part in segments.values()} == {
        "ip1.weight": {2.0}, "ip1.bias": {7.0}, "ip2.weight": {2.0}, "ip2.bias": {2.0}}  # fmt: skip


@pytest.mark.parametrize("pattern", ["*.wieght", "ip9", "relu1", "loss.*", "Ip1", "*.bias*x", "data", ""])
def test_a_pattern_that_matches_nothing_is_refused_at_its_place(pattern: str) -> None:
    told = refused(solver(f'max_epochs: 3, param: {{"*.bias": {{lr_mult: 2}}, "{pattern}": {{lr_mult: 3}}}}'))
    assert len(told) == 1
    assert re.match(
        rf"net\.yaml:8:82: solver: param '{re.escape(pattern)}' matches nothing; (did you mean|known: ip1\.bias, )", told[0]
    )


# --- files inside files ---
def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


RUN = "data: {source: digits}\nnet: NET\nsolver: {type: SGD, base_lr: 0.1, max_iter: 1}\n"


@pytest.mark.parametrize("bare", [True, False])
def test_a_section_may_name_a_file_of_its_own_or_a_whole_config(bare: bool, tmp_path: Path) -> None:
    write(tmp_path / "nets", small=NET if bare else BASE)
    write(tmp_path, run=RUN.replace("NET", "nets/small.yaml"))
    assert [line.name for line in config.read(tmp_path / "run.yaml").net.lines] == ["ip1", "relu1", "ip2", "loss", "right"]


def test_every_section_may_come_from_a_file(tmp_path: Path) -> None:
    write(tmp_path, all=BASE, data="source: digits\nbatch_size: 7\n", run="data: data.yaml\nnet: all.yaml\nsolver: all.yaml\n")
    read = config.read(tmp_path / "run.yaml")
    assert (read.feed.batch_size("train"), read.loop.max_epochs) == (7, 3.0)
    assert read.values["solver"] == {"type": "SGD", "base_lr": 0.1, "max_epochs": 3}


def test_an_included_file_is_found_from_where_its_includer_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", small=NET)
    write(tmp_path / "b", run=RUN.replace("NET", "../a/small.yaml"), absolute=RUN.replace("NET", str(tmp_path / "a/small.yaml")))
    monkeypatch.chdir(tmp_path / "b")
    for path in ("run.yaml", "absolute.yaml", "../b/run.yaml", str(tmp_path / "b/run.yaml")):
        assert len(config.read(path).net.lines) == 5


def test_an_included_config_may_itself_name_a_file(tmp_path: Path) -> None:
    """`net: lenet_mnist.yaml` takes its section of that name, which says `net: lenet.yaml`, seen from there."""
    write(tmp_path / "deep" / "deeper", small=NET)
    write(tmp_path / "deep", other=RUN.replace("NET", "deeper/small.yaml"))
    write(tmp_path, run=RUN.replace("NET", "deep/other.yaml"))
    assert len(config.read(tmp_path / "run.yaml").net.lines) == 5


def test_files_that_name_each_other_in_a_circle_are_refused_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        run=RUN.replace("NET", "other.yaml"),
        other=RUN.replace("NET", "run.yaml"),
        alone=RUN.replace("NET", "alone.yaml"),
    )
    for name in ("run", "alone"):
        with pytest.raises(ConfigError) as caught:
            config.read(tmp_path / f"{name}.yaml")
        told = str(caught.value).splitlines()
        assert len(told) == 1, told
        assert re.match(rf"{re.escape(str(tmp_path))}/\w+\.yaml:2:6: net: .+; .+", told[0])


@pytest.mark.parametrize("whole", [True, False])
def test_a_mistake_in_an_included_file_points_into_it(whole: bool, tmp_path: Path) -> None:
    wrong = changed("num_output: 10", "num_ouput: 10, num_output: 10")
    folder = write(tmp_path / "nets", small=wrong if whole else wrong.split("net:\n")[1].split("solver")[0])
    write(tmp_path, run=RUN.replace("NET", "nets/small.yaml").replace("0.1", "-1"))
    with pytest.raises(ConfigError) as caught:
        config.read(tmp_path / "run.yaml")
    place = f"{folder / 'small.yaml'}:{5 if whole else 3}:37"
    assert sorted(str(caught.value).splitlines()) == sorted([
        f"{place}: layer 'ip2' (InnerProduct): unknown key 'num_ouput'; did you mean 'num_output'?",
        f"{tmp_path / 'run.yaml'}:3:30: solver (SGD): 'base_lr' must be at least 0, not -1",
    ])  # fmt: skip


def test_a_key_given_twice_in_an_included_file_is_told(tmp_path: Path) -> None:
    write(tmp_path, small=NET.replace("num_output: 5", "num_output: 5, num_output: 6"), run=RUN.replace("NET", "small.yaml"))
    with pytest.raises(ConfigError, match=r"small\.yaml:1:52: 'num_output' stands twice \(first in line 1\); keep one"):
        config.read(tmp_path / "run.yaml")


def test_mistakes_are_told_file_by_file(tmp_path: Path) -> None:
    """Lines of one file are not shuffled among those of another."""
    write(tmp_path, small=NET.replace("num_output: 5", "num_output: 0").replace("num_output: 10", "num_output: 0"),
          run=RUN.replace("NET", "small.yaml").replace("digits", "digts").replace("0.1", "-1"))  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        config.read(tmp_path / "run.yaml")
    files = [line.split(":")[0] for line in str(caught.value).splitlines()]
    assert sorted(files) == sorted([str(tmp_path / "run.yaml")] * 2 + [str(tmp_path / "small.yaml")] * 2)
    assert sum(one != other for one, other in zip(files, files[1:])) == 1


def test_a_file_that_is_not_there_is_told_with_the_section(tmp_path: Path) -> None:
    write(tmp_path, run=RUN.replace("NET", "smal.yaml"))
    with pytest.raises(ConfigError) as caught:
        config.read(tmp_path / "run.yaml")
    told = str(caught.value).splitlines()
    assert told == [
        f"{tmp_path / 'run.yaml'}:2:6: net: there is no file {tmp_path / 'smal.yaml'}; give a path relative to this file"
    ]


def test_paths_of_a_source_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sets", data="source: {type: arrays, file: a.npz}\n")
    np.savez(tmp_path / "sets" / "a.npz", data=np.zeros((6, 3), np.float32), label=np.arange(6) % 2)
    write(tmp_path, run=RUN.replace("{source: digits}", "sets/data.yaml").replace("NET", f"\n{NET}"))
    monkeypatch.chdir("/")
    with pytest.raises(DataError, match="no such file"):
        config.read(tmp_path / "run.yaml", ("data.source.file=a.npz",))
    assert (
        len(
            config.read(tmp_path / "run.yaml", (f"data.source.file={os.path.relpath(tmp_path / 'sets/a.npz')}",)).feed.splits[
                "train"
            ]
        )
        == 6
    )
    read = config.read(tmp_path / "run.yaml")
    assert read.values["data"] == {"source": {"type": "arrays", "file": str(tmp_path / "sets" / "a.npz")}}


# --- scores to choose by ---
NO_VAL = data("val: null")
NO_SPLITS = """\
data: {source: {type: arrays, file: FILE}}
net:
  - {name: ip2, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip2, label]}
solver: {type: SGD, base_lr: 0.1, max_epochs: 3}
"""


@pytest.mark.parametrize(("monitor", "score", "higher"), [
    ("right", "val.right", True), ("loss", "val.loss", False), ("val.right", "val.right", True), ("val.loss", "val.loss", False),
])  # fmt: skip
def test_a_bare_monitor_means_val(monitor: str, score: str, higher: bool) -> None:
    for words in (f"early_stopping: {{monitor: {monitor}, patience: 5}}", f"snapshot: {{best: {monitor}}}"):
        read_ = read(solver(f"max_epochs: 3, {words}"))
        assert read_.monitored(monitor) == (score, higher)
        assert read_.watched == "val"


@pytest.mark.parametrize("monitor", ["test.right", "test.loss"])
def test_without_val_only_an_explicit_test_score_is_taken(monitor: str) -> None:
    words = f"max_epochs: 3, early_stopping: {{monitor: {monitor}, patience: 5}}, snapshot: {{best: {monitor}}}"
    found = read(changed("max_epochs: 3", words, NO_VAL))
    assert found.watched == "test"
    assert found.monitored(monitor) == (monitor, monitor == "test.right")


@pytest.mark.parametrize(("text", "monitor", "told"), [
    (NO_VAL, "right", "there is no val to choose on; add data.val: {hold_out: 0.1}, or write test.right to choose on test"),
    (NO_VAL, "loss", "there is no val to choose on; add data.val: {hold_out: 0.1}, or write test.loss to choose on test"),
    (NO_VAL, "val.right", "there is no score 'val.right'; did you mean 'test.right'?"),
    (BASE, "test.right", "the loop scores val only; write val.right, or give val back with val: null"),
    (BASE, "rihgt", "there is no score 'rihgt'; did you mean 'right'?"), (BASE, "ip2", "there is no score 'ip2'; "),
    (BASE, "train.loss", "there is no score 'train.loss'; did you mean 'val.loss'?"),
    (BASE, "vla.right", "there is no score 'vla.right'; did you mean 'val.right'?"),
    (BASE, "val.", "there is no score 'val.'; "), (BASE, ".right", "there is no score '.right'; did you mean 'right'?"),
    (BASE, "relu1", "there is no score 'relu1'; "),
])  # fmt: skip
@pytest.mark.parametrize("where", ["early_stopping: {patience: 5, monitor: ^}", "snapshot: {best: ^}"])
def test_a_score_that_cannot_be_chosen_by_is_told_at_its_place(text: str, monitor: str, told: str, where: str) -> None:
    before, after = where.split("^")
    text = changed("max_epochs: 3", f"max_epochs: 3, {before}{monitor}{after}", text)
    column = text.splitlines()[-1].index(monitor + "}") + 1
    found = refused(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"net.yaml:8:{column}: solver: {told}")


def test_early_stopping_watches_the_loss_unless_it_says_otherwise() -> None:
    stopping = read(solver("max_epochs: 3, early_stopping: {patience: 5 epochs}")).loop.early_stopping
    assert stopping is not None
    assert (stopping.monitor, stopping.mode, stopping.patience, stopping.min_delta) == ("loss", None, Span(5, "epochs"), 0.0)


@pytest.mark.parametrize("words", ["early_stopping: {patience: 5}", "snapshot: {best: loss}"])
def test_choosing_needs_a_test(words: str) -> None:
    told = refused(solver(f"max_epochs: 3, test: null, {words}"))
    assert len(told) == 1 and told[0].endswith("solver: early_stopping and best need scores; add test: 1 epoch")


def no_splits(folder: Path, words: str = "max_epochs: 3") -> str:
    np.savez(folder / "a.npz", data=np.zeros((8, 3), np.float32), label=np.arange(8) % 10)
    return NO_SPLITS.replace("FILE", str(folder / "a.npz")).replace("max_epochs: 3", words)


def test_a_source_with_train_alone_is_simply_not_tested(tmp_path: Path) -> None:
    found = read(no_splits(tmp_path))
    assert (set(found.feed.splits), found.loop.test) == ({"train"}, None)


@pytest.mark.parametrize("words", ["test: 1 epoch", "early_stopping: {patience: 5}", "snapshot: {best: loss}"])
def test_what_needs_scores_is_refused_where_there_is_nothing_to_score(words: str, tmp_path: Path) -> None:
    told = refused(no_splits(tmp_path, f"max_epochs: 3, {words}"))
    assert len(told) == 1, told
    assert told[0].split("; ")[1].startswith("add data.val: {hold_out: 0.1}")


# --- the fingerprint ---
def fingerprint(text: str, *settings: str) -> str:
    return read(text, *settings).fingerprint


@pytest.mark.parametrize("text", [
    f"name: other\n{BASE}", f"# a comment\n\n{BASE}", f"{BASE}engine: {{device: cpu, threads: 1}}\n",
    solver("max_epochs: 3, display: 1"),
    solver("max_epochs: 3, display: null"), solver("max_epochs: 3, snapshot: 7"), solver("max_epochs: 3, max_time: 1 h"),
    BASE.replace("{source: digits, batch_size: 64}", "\n  batch_size: 64\n  source: digits"), f"version: 1\n{BASE}",
])  # fmt: skip
def test_what_computes_the_same_has_the_same_fingerprint(text: str) -> None:
    assert fingerprint(text) == fingerprint(BASE)


def test_each_change_of_what_is_computed_changes_the_fingerprint() -> None:
    texts = [
        BASE, f"seed: 2\n{BASE}", data("batch_size: 32"), data("batch_size: 64, transform: [{scale: 0.1}]"),
        data("batch_size: 64, val: null"),
        changed("num_output: 5", "num_output: 6"), changed("name: ip1", "name: ip0"), changed("base_lr: 0.1", "base_lr: 0.2"),
        solver("max_epochs: 4"), solver("max_epochs: 3, test: 7"), solver("max_epochs: 3, early_stopping: {patience: 5}"),
    ]  # fmt: skip
    assert len({fingerprint(text) for text in texts}) == len(texts)


def test_the_fingerprint_comes_from_values_not_from_where_they_were_said(tmp_path: Path) -> None:
    write(tmp_path, small=NET, run=RUN.replace("NET", "small.yaml"))
    by_file = config.read(tmp_path / "run.yaml").fingerprint
    assert by_file == read(RUN.replace("NET", f"\n{NET}")).fingerprint
    assert by_file == read(RUN.replace("NET", f"\n{NET}").replace("0.1", "0.5"), "solver.base_lr=0.1").fingerprint
    assert re.fullmatch("[0-9a-f]{8}", by_file)


def test_the_values_of_a_config_are_the_same_config_again() -> None:
    """What a run folder keeps can be read back."""
    found = read(f"name: t\nseed: 3\n{BASE}", "solver.momentum=0.9", "data.val=null", "net.ip1.num_output=7")
    again = read(yaml.safe_dump(found.values))
    assert (again.values, again.fingerprint, again.name, again.seed) == (found.values, found.fingerprint, "t", 3)
    assert again.net.store.parameters == found.net.store.parameters == 7 * 64 + 7 + 70 + 10


def test_a_run_without_a_name_is_called_after_its_file(tmp_path: Path) -> None:
    write(tmp_path, my_run=BASE)
    assert config.read(tmp_path / "my_run.yaml").name == "my_run"
    assert read(f"name: other\n{BASE}").name == "other"


def test_a_net_can_be_read_without_a_solver() -> None:
    text = BASE.split("solver")[0]
    assert read(text, need_solver=False).solver is None
    assert refused(text) == ["net.yaml:1:1: config: needs a solver; add solver: {type: SGD, base_lr: 0.01, max_epochs: 10}"]


# --- splits ---
def splits(words: str, seed: int = 1) -> dict[str, set[int]]:
    found = read(f"seed: {seed}\n{data(words)}").feed.splits
    assert all((np.diff(indices) > 0).all() for indices in found.values())
    return {name: set(indices.tolist()) for name, indices in found.items()}


OWN = {"train": 1257, "val": 180, "test": 360}


def test_the_splits_of_a_source_exist_unwritten() -> None:
    assert {name: len(rows) for name, rows in splits("batch_size: 64").items()} == OWN


def test_val_null_gives_its_samples_back_to_train() -> None:
    own, given_back = splits("batch_size: 64"), splits("val: null")
    assert given_back == {"train": own["train"] | own["val"], "test": own["test"]}


@pytest.mark.parametrize(("amount", "count"), [("100", 100), ("1", 1), ("0.1", 144), ("0.5", 718), ("1436", 1436)])
def test_hold_out_takes_as_many_or_a_part_out_of_train(amount: str, count: int) -> None:
    own, found = splits("batch_size: 64"), splits(f"val: {{hold_out: {amount}}}")
    assert len(found["val"]) == count
    assert found["val"] | found["train"] == own["train"] | own["val"]  # the customary val is replaced, and lost to nobody
    assert not found["val"] & found["train"]
    assert found["test"] == own["test"]


def test_both_val_and_test_may_be_held_out() -> None:
    own, found = splits("batch_size: 64"), splits("val: {hold_out: 100}, test: {hold_out: 50}")
    assert (len(found["val"]), len(found["test"])) == (100, 50)
    assert not (found["val"] & found["test"] or found["val"] & found["train"] or found["test"] & found["train"])
    assert found["train"] <= own["train"] | own["val"] | own["test"]


def test_hold_out_is_drawn_by_the_seed() -> None:
    first = splits("val: {hold_out: 100}")
    assert splits("val: {hold_out: 100}, batch_size: 7") == first
    assert splits("val: {hold_out: 100}", seed=2)["val"] != first["val"]
    assert splits("val: {hold_out: 100}")["val"] != splits("test: {hold_out: 100}")["test"]


@pytest.mark.parametrize("amount", [10, 100, 333, 0.25])
def test_hold_out_takes_each_class_in_proportion(amount: float, tmp_path: Path) -> None:
    sizes = np.array([400, 100, 50, 7])
    label = np.random.default_rng(0).permutation(np.repeat(np.arange(4), sizes))
    np.savez(tmp_path / "a.npz", data=np.zeros((len(label), 3), np.float32), label=label)
    text = NO_SPLITS.replace("FILE", str(tmp_path / "a.npz")).replace("data: {", f"data: {{val: {{hold_out: {amount}}}, ")
    held = read(text).feed.splits["val"]
    share = len(held) / len(label)
    assert (np.abs(np.bincount(label[held], minlength=4) - share * sizes) <= 1).all()


def test_hold_out_needs_no_label(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.zeros((20, 3), np.float32), target=np.zeros((20, 2), np.float32))
    text = f"""\
data: {{source: {{type: arrays, file: {tmp_path / "a.npz"}}}, val: {{hold_out: 0.25}}}}
net:
  - {{name: ip, type: InnerProduct, num_output: 2}}
  - {{name: loss, type: EuclideanLoss, bottom: [ip, target]}}
solver: {{type: SGD, base_lr: 0.1, max_epochs: 1}}
"""
    found = read(text).feed.splits
    assert (len(found["val"]), len(found["train"])) == (5, 15)
    assert read(f"seed: 9\n{text}").feed.splits["val"].tolist() != found["val"].tolist()


@pytest.mark.parametrize("amount", ["1437", "5000", "0.9999", "0.0001"])
def test_hold_out_that_leaves_one_side_empty_is_refused(amount: str) -> None:
    with pytest.raises(DataError, match=r"data: val: hold_out of 1437 training samples leaves one side empty"):
        read(data(f"val: {{hold_out: {amount}}}"))


@pytest.mark.parametrize("amount", ["0", "-1", "-0.1"])
def test_hold_out_must_be_positive(amount: str) -> None:
    assert refused(data(f"val: {{hold_out: {amount}}}"))[0].endswith(
        f"data: val: 'hold_out' must be greater than 0, not {amount}"
    )


def test_each_split_may_have_a_batch_size_of_its_own() -> None:
    feed = read(data("batch_size: 10, train: {batch_size: 20}, test: {batch_size: 30}")).feed
    assert [feed.batch_size(split) for split in ("train", "val", "test")] == [20, 10, 30]
    assert feed.per_epoch == Fraction(1257, 20)
    feed = read(data("val: {batch_size: 5, hold_out: 12}")).feed
    assert [feed.batch_size(split) for split in ("train", "val", "test")] == [64, 5, 64]
    assert [len(batch["label"]) for batch in feed.batches("val")] == [5, 5, 2]


def test_what_is_wrong_in_the_text_is_told_before_what_is_wrong_with_the_data(tmp_path: Path) -> None:
    text = NO_SPLITS.replace("FILE", str(tmp_path / "none.npz"))
    with pytest.raises(DataError, match=r"none\.npz: there is no such file"):
        read(text)
    assert len(refused(text.replace("num_output: 10", "num_ouput: 10, num_output: 10").replace("0.1", "-1"))) == 2
