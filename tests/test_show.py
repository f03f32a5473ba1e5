"""dltrain show: numbers by hand, no data needed, and a flat text that makes the same net again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltrain import config as configs
from dltrain.console import Console
from dltrain.devices import backend
from dltrain.engine import Engine
from dltrain.errors import ConfigError, DataError
from dltrain.flat import flat_text, flow
from dltrain.marks import scalar
from dltrain.receptive import Field, receptive
from dltrain.show import describe, show, totals
from dltrain.sketch import View, sketch

ROOT = Path(__file__).parent.parent
HEAD = "data: {source: {type: image_folder, root: nowhere}, batch_size: 2, transform: [{crop: 32}]}\n"
DIGITS = "data: {source: digits, batch_size: 4}\n"
UNIT = """
vars: {width: 8, rate: 0.1}
data: {source: digits, batch_size: 32}
blocks:
  unit:
    params: {n: int, s: 1}
    inputs: [in]
    net:
      - {name: conv1, type: Convolution, num_output: $n, kernel_size: 3, pad: 1, stride: $s, bottom: in}
      - {name: relu1, type: ReLU}
      - {name: conv2, type: Convolution, num_output: $n, kernel_size: 3, pad: 1}
      - {name: short, type: Convolution, num_output: $n, kernel_size: 1, stride: $s, bottom: in, when: s != 1}
      - {name: add, type: Eltwise, bottom: [conv2, short]}
      - {name: relu, type: ReLU}
net:
  - {name: conv, type: Convolution, num_output: $width, kernel_size: 3, pad: 1}
  - {name: stage1, type: unit, n: $width, repeat: 2}
  - {name: stage2, type: unit, n: $(width * 2), s: 2}
  - {name: ip, type: InnerProduct, num_output: $data.classes}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
solver: {type: SGD, base_lr: $rate, momentum: 0.9, max_iter: 30, param: {"stage1/*": {freeze: true}, "stage2*.bias": {lr_mult: 2}}}
"""


@pytest.fixture
def net(tmp_path: Path) -> Any:
    def make(text: str, graph: str | None = None) -> View:
        (tmp_path / "net.yaml").write_text(text)
        return View(sketch(str(tmp_path / "net.yaml"), ()), graph)

    return make


def seen(view: View) -> dict[str, Any]:
    """Name -> (size, stride, centre) of the first axis."""
    return {
        name: f if not f else tuple(float(x) for x in (f[0].size, f[0].jump, f[0].start)) for name, f in receptive(view).items()
    }


# --- receptive fields ---
def test_lenet_by_hand() -> None:
    view = View(sketch(str(ROOT / "configs/lenet.yaml"), ()))
    fields = seen(view)
    assert fields["data"] == (1, 1, 0)
    assert fields["conv1"] == (5, 1, 2)
    assert fields["pool1"] == (6, 2, 2.5)  # 5 + 1;            2 + 1/2
    assert fields["conv2"] == (14, 2, 6.5)  # 6 + 4 * 2;        2.5 + 2 * 2
    assert fields["pool2"] == (16, 4, 7.5)  # 14 + 2;           6.5 + 1/2 * 2
    assert fields["ip1"] is fields["relu1"] is fields["loss"] is None
    rows = {row.name: row for row in describe(view)}
    assert rows["conv1"].flops == 64 * 2 * 25 * 20 * 24 * 24 and rows["conv1"].parameters == 520
    assert rows["conv2"].flops == 64 * 2 * 25 * 20 * 50 * 8 * 8
    assert rows["ip2"].flops == 64 * 2 * 500 * 10 and rows["ip2"].values()["flops"] == 10_000
    assert rows["pool1"].memory == 64 * 20 * 12 * 12 * 4 and rows["accuracy"].phase == "test"
    sums = totals(view)
    assert sums["parameters"] == 431_080 and sums["depth"] == 4 and sums["frozen"] == sums["statistics"] == 0
    stored = sums["memory"]["parameters"]
    assert stored >= 431_080 * 4 and sums["memory"]["gradients"] == sums["memory"]["slots"] == stored
    assert sums["flops_step"] > 2.5 * sums["flops_forward"] > 0


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        (["Convolution, num_output: 2, kernel_size: 3, pad: 1", "Convolution, num_output: 2, kernel_size: 3, pad: 2, dilation: 2",
          "Convolution, num_output: 2, kernel_size: 3, pad: 4, dilation: 4"], (15, 1, 0)),  # 3 + 4 + 8
        (["Convolution, num_output: 2, kernel_size: 3, dilation: 2"], (5, 1, 2)),
        (["Pooling, kernel_size: 2, stride: 2", "Deconvolution, num_output: 2, kernel_size: 2, stride: 2"], (2, 1, 0)),
        (["Pooling, kernel_size: 2, stride: 2", "Deconvolution, num_output: 2, kernel_size: 4, stride: 2, pad: 1"], (4, 1, 0)),
        (["Pooling, kernel_size: 2, stride: 2", "Upsample"], (2, 1, 0)),
        (["Pooling, kernel_size: 2, stride: 2", "Upsample, mode: bilinear"], (4, 1, 0)),
        (["Pad, pad: 3", "Convolution, num_output: 2, kernel_size: 3"], (3, 1, -2)),
        (["LRN, norm_region: within_channel, local_size: 5"], (5, 1, 0)),
        (["LRN, local_size: 5"], (1, 1, 0)),
        (["LocalContrastNorm, kernel_size: 5"], (9, 1, 0)),
        (["LocalContrastNorm, kernel_size: 5, operation: subtractive"], (5, 1, 0)),
        (["Convolution, num_output: 4, kernel_size: 3", "BatchNorm", "ReLU", "Dropout"], (3, 1, 1)),
        (["Softmax, axis: 1"], (1, 1, 0)),
        (["Softmax, axis: -1"], None),
        (["Pooling, global_pooling: true"], None),
        (["Permute, order: [0, 1, 3, 2]"], None),
        (["Flatten"], None),
        (["InnerProduct, num_output: 3, axis: 3"], None),
        (["SPP, pyramid_height: 1"], None),
    ],
)  # fmt: skip
def test_fields_of_other_layers(net: Any, lines: list[str], field: Any) -> None:
    text = HEAD + "net:\n" + "".join(f"  - {{name: l{n}, type: {line}}}\n" for n, line in enumerate(lines))
    assert seen(net(text))[f"l{len(lines) - 1}"] == field


def test_several_bottoms_see_all_that_any_sees(net: Any) -> None:
    view = net(HEAD + """
net:
  - {name: small, type: Convolution, num_output: 4, kernel_size: 1}
  - {name: wide, type: Convolution, num_output: 4, kernel_size: [5, 7], pad: [2, 3], bottom: data}
  - {name: both, type: Concat, bottom: [small, wide]}
  - {name: half, type: Pooling, kernel_size: 2, stride: 2, bottom: wide}
  - {name: up, type: Upsample}
  - {name: cut, type: Crop, offset: 3, bottom: [wide, half]}
  - {name: sum, type: Eltwise, bottom: [up, small]}
  - {name: mean, type: Pooling, pool: mean, global_pooling: true}
  - {name: flat, type: Reshape, shape: [0, 4]}
  - {name: gate, type: Scale, axis: 0, bottom: [sum, flat]}
""")  # fmt: skip
    fields = receptive(view)
    assert [(f.size, f.jump, f.start) for f in fields["both"] or ()] == [(5, 1, 0), (7, 1, 0)]
    assert seen(view)["half"] == (6, 2, 0.5) and seen(view)["cut"] == (5, 1, 3)
    assert seen(view)["sum"] == (6, 1, 0)
    assert seen(view)["mean"] is seen(view)["gate"] is None  # each place is told of all others


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_a_field_is_the_reach_of_its_windows(windows: list[tuple[int, int, int, int]], place: int) -> None:
    """Against the sets of elements that a place reaches, counted one by one."""
    field, reach = Field(), {place}
    for kernel, stride, pad, dilation in windows:
        field = field.shrunk(dilation * (kernel - 1) + 1, stride, pad)  # type: ignore[arg-type]
    for kernel, stride, pad, dilation in reversed(windows):
        reach = {i * stride - pad + tap * dilation for i in reach for tap in range(kernel)}
    assert field.size == max(reach) - min(reach) + 1
    assert field.start + place * field.jump == (max(reach) + min(reach)) / 2


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
def test_a_transposed_window_reaches_what_flows_into_it(kernel: int, stride: int, pad: int) -> None:
    field = Field().grown(kernel, stride, pad)
    reach = [{i for i in range(-20, 40) for tap in range(kernel) if stride * i + tap - pad == o} for o in range(stride * 4)]
    assert field.size == max(max(1, len(some)) for some in reach) and field.jump * stride == 1
    middles = [stride * i + (kernel - 1) / 2 - pad for i in range(5)]  # where the window of each input element stands
    assert all(float(field.start + middle * field.jump) == pytest.approx(i) for i, middle in enumerate(middles))


# --- sums ---
def test_patterns_over_the_names_of_blocks(net: Any) -> None:
    view = net(UNIT)
    rows = {row.name: row for row in describe(view)}
    assert rows["stage1/2/conv1"].frozen == rows["stage1/2/conv1"].parameters == 8 * 8 * 9 + 8
    assert rows["stage2/conv1"].frozen == 0 and rows["stage2/short"].parameters == 8 * 16 + 16
    parts = {part.name: part.spec.lr_mult for part in view.config.net.store.segments.values()}
    assert parts["stage2/conv1.bias"] == 2 and parts["stage2/conv1.weight"] == 1
    sums = totals(view)
    assert sums["frozen"] == 4 * 584 and sums["depth"] == 1 + 4 + 2 + 1  # the short ways are not on the longest


def test_statistics_stand_apart_and_heads_weigh(net: Any) -> None:
    view = net(DIGITS + """
net:
  - {name: conv, type: Convolution, num_output: 6, kernel_size: 3}
  - {name: bn, type: BatchNorm}
  - {name: one, type: InnerProduct, num_output: 10}
  - {name: two, type: InnerProduct, num_output: 10, bottom: bn}
  - {name: first, type: SoftmaxWithLoss, bottom: [one, label], loss_weight: 0.25}
  - {name: second, type: SoftmaxWithLoss, bottom: [two, label]}
  - {name: spare, type: ReLU, bottom: conv, phase: test}
""")  # fmt: skip
    rows = {row.name: row for row in describe(view)}
    assert rows["bn"].parameters == 12 and rows["bn"].statistics >= 12  # scale and bias; mean and variance (and what counts them)
    assert totals(view)["statistics"] == rows["bn"].statistics and totals(view)["flops_step"] is None
    assert [line.weight for line in view.config.net.lines if line.layer.kind == "loss"] == [0.25, 1]
    assert rows["spare"].phase == "test" and rows["spare"].flops == 0


def test_graphs(net: Any) -> None:
    text = UNIT.replace("solver:", "  - {name: right, type: Accuracy, bottom: [ip, label], phase: test}\nsolver:")
    assert "right" in net(text).nodes and "right" not in net(text, "train").nodes
    assert "loss" not in net(text, "deploy").nodes and list(net(text, "deploy").fields) == ["data"]
    upto = net(text, "to:stage1/2/conv1")
    assert list(upto.nodes)[-1] == "stage1/2/conv1" and totals(upto)["memory"]["gradients"] == 0
    for graph, words in (
        ("tarin", "there is no such graph; did you mean 'train'"),
        ("to:stage1/2/conv", "there is no blob 'stage1/2/conv'"),
    ):
        with pytest.raises(ConfigError, match=words):
            net(text, graph)


# --- without data ---
@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("mnist", {"data": (1, 28, 28), "label": ()}),
        ("{type: emnist, set: letters}", {"data": (1, 28, 28), "label": ()}),
        ("cifar100", {"data": (3, 32, 32), "label": (), "coarse": ()}),
        ("{type: image_folder, root: nowhere, color: grey}", {"data": (1, -1, -1), "label": ()}),
        ("{type: image_list, file: no.txt, labels: [age, kind], measured: [age]}", {"data": (3, -1, -1), "age": (), "kind": ()}),
        ("{type: segmentation, images: a, labels: b, classes: {label: 3}}", {"data": (3, -1, -1), "label": (-1, -1)}),
        ("{type: wav_folder, root: nowhere, rate: 8000, length: 4000}", {"data": (1, 4000), "label": ()}),
        ("{type: text, file: no.txt, length: 9, target: last}", {"data": (9,), "label": ()}),
        ("{type: generated, task: parity, length: 7}", {"data": (7,), "label": ()}),
    ],
)  # fmt: skip
def test_sources_promise_their_fields(
    tmp_path: Path, source: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLTRAIN_DATA", str(tmp_path / "none"))
    steps = ", transform: [{crop: 8}]" if -1 in fields["data"] else ""
    (tmp_path / "net.yaml").write_text(
        f"data: {{source: {source}{steps}}}\nnet:\n  - {{name: still, type: Silence, bottom: [data]}}\n"
    )
    config = sketch(str(tmp_path / "net.yaml"), ())
    assert {name: tuple(shape) for name, shape in config.feed.source.fields.items()} == fields


def test_a_saved_vocabulary_tells_how_many_symbols(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\nc\n")
    text = "data: {source: {type: text, file: no.txt, vocabulary: words.txt, length: 5}}\n"
    (tmp_path / "net.yaml").write_text(text + "net: [{name: embed, type: Embed, input_dim: $data.vocabulary, num_output: 2}]\n")
    assert totals(View(sketch(str(tmp_path / "net.yaml"), ())))["parameters"] >= 6


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "data: {source: {type: csv, file: no.csv}}\nnet: [{name: ip, type: InnerProduct, num_output: 2}]\n"
    )
    with pytest.raises(DataError, match=r"the shapes of the net hang on the data, which cannot be had: .*no\.csv"):
        sketch(str(tmp_path / "net.yaml"), ())


# --- the flat text ---
def again(tmp_path: Path, path: Path) -> tuple[Any, Any]:
    """The config, and the one read from its flat text."""
    before = configs.read(path)
    (tmp_path / "flat.yaml").write_text(flat_text(sketch(str(path), ())))
    return before, configs.read(tmp_path / "flat.yaml")


def first_loss(config: Any) -> dict[str, float]:
    engine = Engine(config.net, backend("cpu", 1), config.solver)
    try:
        engine.initialise(config.seed)
        batch = config.feed.train_batch_now(0)
        return [engine.step([batch], config.solver.rates(n, config.horizon)) for n in range(2)][-1]
    finally:
        engine.close()
        config.feed.close()


BASE = """
base: net.yaml
seed: 7
net:
  - {name: more, type: Convolution, num_output: 8, kernel_size: 1, after: conv, param: {bias: {lr_mult: 0}}}
  - {name: stage1, repeat: 1}
  - {name: twin, type: unit, n: 8, before: stage2, phase: [train, test]}
  - {name: loss, delete: true}
  - {name: cheap, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: two, type: InnerProduct, num_output: 10, bottom: stage1/1/relu1}
  - {name: dear, type: SoftmaxWithLoss, bottom: [two, label], loss_weight: 0.5}
"""
FIRST = DIGITS + """
blocks: {u: {net: [{name: a, type: Convolution, num_output: 1, kernel_size: 3, pad: 1}, {name: b, type: Convolution, num_output: 1, kernel_size: 1, bottom: in}, {name: c, type: Eltwise, bottom: [a, b]}]}}
net: [{name: u, type: u}, {name: ip, type: InnerProduct, num_output: 10, bottom: {x: u}}, {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}]
solver: {type: SGD, base_lr: 0.1, max_iter: 3, snapshot: null}
"""  # fmt: skip


@pytest.mark.parametrize("text", [UNIT, BASE, FIRST])
def test_the_flat_text_makes_the_same_net(tmp_path: Path, text: str) -> None:
    (tmp_path / "net.yaml").write_text(UNIT)
    (tmp_path / "top.yaml").write_text(text)
    one, two = again(tmp_path, tmp_path / "top.yaml")
    assert one.net.shapes == two.net.shapes and one.seed == two.seed
    assert [line.refs for line in one.net.lines] == [line.refs for line in two.net.lines]
    for a, b in zip(one.net.store.segments.values(), two.net.store.segments.values(), strict=True):
        assert (a.name, a.shape, a.spec.lr_mult, a.frozen) == (b.name, b.shape, b.spec.lr_mult, b.frozen)
        np.testing.assert_array_equal(a.fill(one.seed), b.fill(two.seed))
    assert first_loss(one) == first_loss(two)
    assert "blocks:" not in (tmp_path / "flat.yaml").read_text()


def test_shared_parameters_stay_shared(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        UNIT.replace("repeat: 2}", "repeat: 2, share: stage1/1}").replace(
            ', param: {"stage1/*": {freeze: true}, "stage2*.bias": {lr_mult: 2}}', ""
        )
    )
    text = flat_text(sketch(str(tmp_path / "net.yaml"), ()))
    (tmp_path / "flat.yaml").write_text(text)
    one, two = (sketch(str(tmp_path / name), ()).net.store for name in ("net.yaml", "flat.yaml"))
    assert one.shared.keys() == two.shared.keys() and one.parameters == two.parameters
    assert all(
        line.share == again.share
        for line, again in zip(*(sketch(str(tmp_path / n), ()).net.lines for n in ("net.yaml", "flat.yaml")))
    )


def test_a_line_is_written_as_a_person_would(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(UNIT)
    lines = flat_text(sketch(str(tmp_path / "net.yaml"), ())).splitlines()
    assert "vars:" in lines and "  base_lr: $rate" in lines  # the solver's section stands as it is written
    assert (
        "  - {name: stage2/short,   type: Convolution,     num_output: 16, kernel_size: 1, stride: 2, bottom: stage1/2/relu}"
        in lines
    )
    assert "  - {name: stage1/1/relu1, type: ReLU}" in lines
    assert '  param: {"stage1/*": {freeze: true}, "stage2*.bias": {lr_mult: 2}}' in lines


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab*$é:#, ", min_size=1, max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_flow_is_read_back_as_it_was(value: Any) -> None:
    from dltrain.marks import parse

    document = parse(f"x: {flow(value)}\n")
    assert not document.mistakes
    np.testing.assert_equal(document.value["x"], value)
    assert isinstance(scalar("1e-05"), float)


# --- the command ---
def test_the_command(command: Any, result: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(UNIT)
    made = result_of(command("show", "net.yaml", "--json", "--set", "vars.width=4"))
    assert made["parameters"] == 4 * 10 + 4 * (4 * 36 + 4) + (8 * 36 + 8) + (8 * 72 + 8) + (8 * 4 + 8) + 10 * 128 + 10
    first = {row["name"]: row for row in made["layers"]}["stage1/1/conv1"]
    assert first["top"] == [32, 4, 8, 8] and first["receptive_field"] == {"size": [5, 5], "stride": [1, 1], "centre": [0, 0]}
    done = command("show", "net.yaml", "--yaml", "--graph", "train")
    assert done.returncode == 2 and "--yaml prints a config" in done.stderr
    shown = command("show", "net.yaml").stdout.splitlines()
    assert shown[0].split() == ["layer", "type", "top", "parameters", "MFLOP", "memory", "receptive", "field", "stride", "centre"]
    assert any(
        line.split()
        == [
            "stage2/conv1",
            "Convolution",
            "N",
            "x",
            "16",
            "x",
            "4",
            "x",
            "4",
            "1,168",
            "0.037",
            "32.0",
            "KiB",
            "13",
            "x",
            "13",
            "2",
            "0",
        ]
        for line in shown
    )


def result_of(done: Any) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_a_run_can_be_shown(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "run" / "snapshots").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text(UNIT)
    show(str(tmp_path / "run"), (), None, False, Console())
    assert "parameters" in capsys.readouterr().out


def test_nets_without_pictures_have_no_fields(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "net.yaml").write_text(
        "data: {source: {type: generated, task: two_moons}}\nnet: [{name: ip, type: InnerProduct, num_output: 2}]\n"
    )
    show(str(tmp_path / "net.yaml"), (), None, False, Console())
    assert capsys.readouterr().out.splitlines()[0].split()[-1] == "memory"
