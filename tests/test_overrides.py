"""--set a.b=value: what it reaches, what it turns into a mapping, who wins, and how it is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain import cli, config
from dltrain.errors import ConfigError
from dltrain.marks import parse
from dltrain.overrides import override

BASE = """\
name: t
seed: 1
data: {source: digits, batch_size: 64, transform: [{resize: 10}, {crop: 8}, mirror]}
net:
  - {name: conv1, type: Convolution, num_output: 4, kernel_size: 3}
  - {name: "2", type: ReLU}
  - {name: ip1, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip1, label]}
solver: {type: SGD, base_lr: 0.1, lr_policy: fixed, max_epochs: 3, snapshot: 5 epochs, display: 20, test: null}
"""


def values(*settings: str, text: str = BASE) -> Any:
    document = parse(text, "net.yaml")
    override(document, settings)
    return document.value


def at(value: Any, *path: str | int) -> Any:
    for step in path:
        value = value[step]
    return value


def read(*settings: str, text: str = BASE) -> config.Config:
    return config.read("net.yaml", settings, document=parse(text, "net.yaml"))


def refused(*settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(*settings)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("setting", "path", "value"), [
    ("seed=7", ("seed",), 7), ("solver.base_lr=1e-3", ("solver", "base_lr"), 1e-3),
    ("solver.momentum=0.9", ("solver", "momentum"), 0.9),
    ("net.conv1.num_output=32", ("net", 0, "num_output"), 32),
    ("net.conv1.kernel_size=[3, 5]", ("net", 0, "kernel_size"), [3, 5]),
    ("net.0.num_output=32", ("net", 0, "num_output"), 32),
    ("net.ip1.param.weight.filler.std=0.1", ("net", 2, "param", "weight", "filler"), {"std": 0.1}),
    ("net.ip1={name: ip1, type: InnerProduct, num_output: 3}", ("net", 2),
     {"name": "ip1", "type": "InnerProduct", "num_output": 3}),
    ("data.source.root=/data", ("data", "source"), {"type": "digits", "root": "/data"}),
    ("data.source=mnist", ("data", "source"), "mnist"),
    ("data.transform.0.resize=12", ("data", "transform", 0), {"resize": 12}), ("data.val=null", ("data", "val"), None),
    ("data.val.hold_out=0.1", ("data", "val"), {"hold_out": 0.1}), ("data.val={hold_out: 5}", ("data", "val"), {"hold_out": 5}),
    ("data.transform.2.probability=0.1", ("data", "transform", 2), {"type": "mirror", "probability": 0.1}),
    ("solver.lr_policy.gamma=0.1", ("solver", "lr_policy"), {"type": "fixed", "gamma": 0.1}),
    ("solver.lr_policy={type: exp, gamma: 0.1}", ("solver", "lr_policy"), {"type": "exp", "gamma": 0.1}),
    ("solver.snapshot.keep=3", ("solver", "snapshot"), {"interval": "5 epochs", "keep": 3}),
    ("solver.snapshot.best=loss", ("solver", "snapshot"), {"interval": "5 epochs", "best": "loss"}),
    ("solver.display.interval=3", ("solver", "display"), {"interval": 3}),
    ("solver.test.initial=true", ("solver", "test"), {"initial": True}),
    ("solver.early_stopping.patience=3 epochs", ("solver", "early_stopping"), {"patience": "3 epochs"}),
    ("engine.device=cpu", ("engine",), {"device": "cpu"}), (" solver . base_lr = 2", ("solver", "base_lr"), 2),
    ("name=a=b", ("name",), "a=b"),
])  # fmt: skip
def test_reaches_its_key(setting: str, path: Any, value: Any) -> None:
    assert at(values(setting), *path) == value
    assert type(at(values(setting), *path)) is type(value)


@pytest.mark.parametrize(("text", "value"), [
    ("1e-4", 1e-4), ("017", 17), ("on", "on"), ("no", "no"), ("1:30", "1:30"), ("true", True), ("null", None), ("", None),
    ("'20'", "20"),
    ("[a, 2]", ["a", 2]), ("{a: {b: 1}}", {"a": {"b": 1}}), ("3 epochs", "3 epochs"), ("é", "é"),
])  # fmt: skip
def test_a_value_is_yaml_as_in_a_file(text: str, value: Any) -> None:
    assert values(f"solver.x={text}")["solver"]["x"] == value


def test_only_what_is_named_changes() -> None:
    before, after = parse(BASE).value, values("net.conv1.num_output=32", "solver.base_lr=0.5")
    after["net"][0]["num_output"], after["solver"]["base_lr"] = 4, 0.1
    assert after == before


def test_the_last_one_wins_and_an_earlier_one_may_be_built_upon() -> None:
    assert values("seed=2", "seed=3")["seed"] == 3
    assert values("data.source=mnist", "data.source.root=/d")["data"]["source"] == {"type": "mnist", "root": "/d"}
    assert values("solver.early_stopping={patience: 3}", "solver.early_stopping.patience=4")["solver"]["early_stopping"] == {
        "patience": 4
    }


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default() -> None:
    assert read().solver.base_lr == 0.1  # type: ignore[union-attr]
    assert read("solver.base_lr=0.5").solver.base_lr == 0.5  # type: ignore[union-attr]
    assert (read().engine.device, read("engine.device=cpu").engine.device) == ("auto", "cpu")
    assert read("solver.snapshot=null").loop.snapshot is None


def test_what_is_set_is_read_like_the_file() -> None:
    found = read("net.conv1.num_output=7", "solver.snapshot.keep=9", "data.source.type=digits", "solver.momentum=0.9")
    assert found.net.shapes["train"]["conv1"] == (64, 7, 6, 6)
    assert found.loop.snapshot is not None and (found.loop.snapshot.keep, str(found.loop.snapshot.interval)) == (9, "5 epochs")
    assert found.values["net"][0]["num_output"] == 7


def test_an_empty_file_may_be_filled_from_the_command_line() -> None:
    assert values("seed=2", "solver.type=SGD", text="") == {"seed": 2, "solver": {"type": "SGD"}}


def test_a_net_may_be_named_from_the_command_line_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "run.yaml").write_text(BASE)
    (tmp_path / "small.yaml").write_text(BASE.replace("num_output: 4", "num_output: 2"))
    monkeypatch.chdir(tmp_path)
    found = config.read("configs/run.yaml", ("net=small.yaml", "net.ip1.num_output=11"))
    assert (found.net.shapes["train"]["conv1"], found.net.shapes["train"]["ip1"]) == ((64, 2, 6, 6), (64, 11))


def test_a_layer_of_an_included_net_may_be_changed(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(BASE)
    (tmp_path / "run.yaml").write_text("data: {source: digits}\nnet: small.yaml\nsolver: small.yaml\n")
    assert config.read(tmp_path / "run.yaml", ("net.ip1.num_output=11",)).net.shapes["train"]["ip1"] == (64, 11)


# --- refusals ---
@pytest.mark.parametrize(("setting", "told"), [
    ("net.cnv1.num_output=3", "there is no layer 'cnv1'; did you mean 'conv1'?"),
    ("net.9.num_output=3", "there is no layer '9'; "),
    ("net.pool1={}", "there is no 'pool1'; "), ("solver", "write --set section.key=value"),
    ("=3", "write --set section.key=value"),
    ("", "write --set section.key=value"), (" = 3", "write --set section.key=value"),
    ("net.conv1.num_output.x=3", "'x' lies inside a plain value; nothing can be set there"),
    ("seed.x.y=3", "'x' lies inside a plain value; nothing can be set there"),
    ("seed.x=3", "'x' lies inside a plain value; nothing can be set there"),
    ("data.transform.9.crop=3", "…"), ("solver..base_lr=3", "…"), ("solver.=3", "…"), (".seed=3", "…"),
])  # fmt: skip
def test_a_way_that_leads_nowhere_is_refused(setting: str, told: str) -> None:
    found = refused(setting)
    assert len(found) == 1, found
    assert found[0].startswith(f"--set {setting}: ")
    assert told.strip("…") in found[0]
    assert re.search("; .|write ", found[0].removeprefix(f"--set {setting}: "))


@pytest.mark.parametrize(("setting", "told"), [
    ("solver.base_lr=-1", "solver (SGD): 'base_lr' must be at least 0, not -1"),
    ("solver.bse_lr=1", "solver (SGD): unknown key 'bse_lr'; did you mean 'base_lr'?"),
    ("net.conv1.kernel_size=20",
     "layer 'conv1' (Convolution): 'kernel_size' is larger than its bottom: 20 x 20 over 8 x 8, padding included; "
                                 "data 64 x 1 x 8 x 8 → conv1"),
    ("net.ip1.bottom=conv9", "layer 'ip1' (InnerProduct): there is no blob 'conv9'; did you mean 'conv1'?"),
    ("solvr.base_lr=1", "config: unknown section 'solvr'; did you mean 'solver'?"),
    ("data.source=digts", "data: source: unknown source 'digts'; did you mean 'digits'?"),
    ("data.val.hold_out=0", "data: val: 'hold_out' must be greater than 0, not 0"),
])  # fmt: skip
def test_a_wrong_value_is_told_with_the_setting_as_its_place(setting: str, told: str) -> None:
    assert refused(setting) == [f"--set {setting}: {told}"]


@pytest.mark.parametrize("text", ["[1", "{a: 1", "'x", "a: b: c", "@x", "*x"])
def test_a_value_that_is_not_yaml_is_refused(text: str) -> None:
    found = refused(f"solver.momentum={text}")
    assert len(found) == 1
    assert found[0].startswith(f"--set solver.momentum={text}") and ": this is not YAML: " in found[0]


def test_a_key_given_twice_in_a_value_is_refused() -> None:
    found = refused("net.ip1.param={weight: {lr_mult: 1}, weight: {lr_mult: 2}}")
    assert len(found) == 1
    assert "'weight' stands twice" in found[0]


def test_what_replaces_a_mistake_takes_it_away() -> None:
    text = BASE.replace("num_output: 4", "num_ouput: 4")
    assert read("net.conv1={name: conv1, type: Convolution, num_output: 4, kernel_size: 3}", text=text).net.order
    twice = BASE.replace("seed: 1", "seed: 1\nseed: 2")
    with pytest.raises(ConfigError, match="'seed' stands twice"):
        read("seed=3", text=twice)


@pytest.mark.parametrize("setting", ["solver", "net.cnv1.num_output=3", "solver.base_lr=-1", "solver.momentum=[1"])
def test_a_bad_setting_is_one_line_and_exit_code_2(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(BASE)
    monkeypatch.setattr(sys, "argv", ["dltrain", "train", str(tmp_path / "run.yaml"), "--set", setting])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.count("\n") == 1 and f"--set {setting}" in err
