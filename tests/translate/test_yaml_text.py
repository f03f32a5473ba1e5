"""Drafts as YAML: the style of configs/, nothing said twice, and what is read back is what was meant."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltrain.config import Config, read
from dltrain.marks import parse
from dltrain.translate.draft import Draft, Part
from dltrain.translate.names import readable, unique
from dltrain.translate.yaml_text import entry, flow, numeral, text, yaml_text

LENET = Draft(
    "lenet",
    [
        Part("conv1", "Convolution", {"num_output": 20, "kernel_size": 5, "stride": 1, "group": 1}, ["data"], "64 x 20 x 24 x 24"),
        Part("pool1", "Pooling", {"pool": "max", "kernel_size": 2, "stride": 2}, ["conv1"], "64 x 20 x 12 x 12"),
        Part("ip1", "InnerProduct", {"num_output": 500, "param": {"weight": {"filler": "xavier"}}}, ["pool1"]),
        Part("relu1", "ReLU", {"negative_slope": 0.0}, ["ip1"]),
        Part("ip2", "InnerProduct", {"num_output": 10, "bias_term": True}, ["relu1"]),
        Part("loss", "SoftmaxWithLoss", {}, ["ip2", "label"]),
        Part("accuracy", "Accuracy", {"phase": "test", "top_k": 5}, ["ip2", "label"]),
    ],
    {"source": "digits", "batch_size": 64, "transform": [{"resize": 32}, {"crop": 28}, {"scale": 0.00390625}, "mirror"]},
    {"type": "SGD", "base_lr": float(np.float32(0.0005)), "momentum": 0.9, "iter_size": 1, "max_iter": 10000,
     "lr_policy": {"type": "inv", "gamma": 1e-4, "power": 0.75}, "param": {"*.bias": {"lr_mult": 2}}},
    {"seed": 1},
)  # fmt: skip

TEXT = """\
# LeNet, from elsewhere
name: lenet
seed: 1
data:
  source: digits
  batch_size: 64
  transform: [{resize: 32}, {crop: 28}, {scale: 0.00390625}, mirror]
net:
  - {name: conv1, type: Convolution,  num_output: 20, kernel_size: 5}        # 64 x 20 x 24 x 24
  - {name: pool1, type: Pooling,      pool: max, kernel_size: 2, stride: 2}  # 64 x 20 x 12 x 12
  - {name: ip1,   type: InnerProduct, num_output: 500, param: {weight: {filler: xavier}}}
  - {name: relu1, type: ReLU}
  - {name: ip2,   type: InnerProduct, num_output: 10}
  - {name: loss,     type: SoftmaxWithLoss, bottom: [ip2, label]}
  - {name: accuracy, type: Accuracy,        bottom: [ip2, label], top_k: 5, phase: test}
solver:
  type: SGD
  base_lr: 5e-4
  momentum: 0.9
  max_iter: 10000
  lr_policy: {type: inv, gamma: 1e-4, power: 0.75}
  param: {"*.bias": {lr_mult: 2}}
"""


def back(draft: Draft, head: str = "") -> Config:
    return read("net.yaml", need_solver=False, document=parse(yaml_text(draft, head), "net.yaml"))


def test_lenet_is_written_as_a_person_would() -> None:
    assert yaml_text(LENET, "LeNet, from elsewhere") == TEXT
    made = back(LENET)
    assert [line.name for line in made.net.lines] == [part.name for part in LENET.net]
    assert made.solver is not None and made.solver.base_lr == 5e-4


def blank(*parts: Part, **shapes: list[int]) -> Draft:
    return Draft("net", list(parts), {"source": {"type": "blank", "shapes": shapes or {"image": [3, 8, 8]}}})


def net_of(draft: Draft) -> list[str]:
    return yaml_text(draft).partition("net:\n")[2].splitlines()


def test_a_bottom_is_named_where_it_is_not_the_line_above() -> None:
    draft = blank(
        Part("a", "ReLU", {}, ["image"]), Part("b", "ReLU", {}, ["image"]), Part("c", "ReLU", {}, ["b"]),
        Part("join", "Eltwise", {"operation": "sum"}, ["a", "c"]), Part("one", "Concat", {}, ["join"]),
        Part("judge", "EuclideanLoss", {}, ["one", "image"]), Part("d", "ReLU", {}, ["one"]),
    )  # fmt: skip
    assert net_of(draft) == [
        "  - {name: a,    type: ReLU}",
        "  - {name: b,    type: ReLU,    bottom: image}",
        "  - {name: c,    type: ReLU}",
        "  - {name: join, type: Eltwise, operation: sum, bottom: [a, c]}",
        "  - {name: one,  type: Concat}",
        "  - {name: judge, type: EuclideanLoss, bottom: [one, image]}",
        "  - {name: d, type: ReLU}",
    ]
    read_back = {line.name: line.refs for line in back(draft).net.lines}
    assert read_back["c"][0].line == 1 and read_back["one"][0].line == 3 and read_back["d"][0].line == 4


def test_a_first_line_names_its_field_where_only_files_tell_the_first() -> None:
    draft = Draft("net", [Part("a", "ReLU", {}, ["data"])], {"source": {"type": "hdf5", "file": "x.h5"}})
    assert net_of(draft) == ["  - {name: a, type: ReLU, bottom: data}"]
    draft.data["source"] = {"type": "image_folder", "root": "x"}
    assert net_of(draft) == ["  - {name: a, type: ReLU}"]
    draft.data["source"] = {"type": "blank", "shapes": {"x": [1], "data": [1]}}
    assert net_of(draft) == ["  - {name: a, type: ReLU, bottom: data}"]


def test_a_bottom_that_may_be_left_out_is_always_named() -> None:
    draft = blank(
        Part("a", "ReLU", {}, ["image"]), Part("one", "Constant", {"value": 2.0}, ["a"]), Part("two", "Constant", {"value": 1.5})
    )
    assert [row.partition("value")[2] for row in net_of(draft)[1:]] == [": 2, bottom: a}", ": 1.5}"]
    assert back(draft).net.shapes["test"]["one"][0] == 64


def test_a_bottom_in_between_that_is_left_out_is_told_by_roles() -> None:
    draft = blank(Part("r", "LSTM", {"num_output": 4}, ["x", "", "", "h", "c"]), x=[5, 3], h=[4], c=[4])
    assert net_of(draft) == ["  - {name: r, type: LSTM, num_output: 4, bottom: {x: x, h0: h, c0: c}}"]
    assert back(draft).net.shapes["test"]["r"] == (64, 5, 4)


def test_names_that_yaml_takes_for_something_else_are_quoted() -> None:
    draft = blank(Part("on", "ReLU", {}, ["image"]), Part("1e5", "ReLU", {}, ["on"]), Part("null", "ReLU", {}, ["1e5"]),
                  Part("-a", "ReLU", {}, ["null"]), Part("b/c", "Eltwise", {}, ["-a", "1e5"]))  # fmt: skip
    assert [line.name for line in back(draft).net.lines] == ["on", "1e5", "null", "-a", "b/c"]
    assert '{name: "1e5",' in yaml_text(draft)


def test_defaults_go_without_saying_and_true_is_not_one() -> None:
    keys = {"num_output": 4, "kernel_size": [3, 3], "stride": [1], "pad": 0, "bias_term": False, "group": 2, "dilation": (1,)}
    draft = blank(Part("c", "Convolution", keys, ["image"]), image=[4, 8, 8])
    assert net_of(draft) == ["  - {name: c, type: Convolution, num_output: 4, kernel_size: [3, 3], bias_term: false, group: 2}"]


def test_long_lines_and_values_are_broken_at_the_same_width() -> None:
    points = list(range(1, 90))
    draft = blank(Part("cut", "Slice", {"axis": 1, "slice_point": points}, ["x"]), x=[90])
    draft.data["transform"] = [{"mean": [float(n) for n in range(90)]}]
    draft.solver = {
        "type": "SGD",
        "base_lr": 0.1,
        "max_iter": 5,
        "lr_policy": {"type": "multistep", "gamma": 0.1, "stepvalue": points},
    }
    draft.notes = ["word " * 60]
    made = yaml_text(draft)
    assert max(map(len, made.splitlines())) <= 130
    assert parse(made).value["solver"]["lr_policy"]["stepvalue"] == points
    assert parse(made).value["data"]["transform"] == draft.data["transform"]
    draft.solver = {}
    assert back(draft).net.lines[0].layer.slice_point == tuple(points)


def test_notes_and_comments_cannot_leave_their_line() -> None:
    draft = blank(Part("a", "ReLU", {}, ["image"], note="one\nnet: two\x07"))
    draft.notes, head = ["three\nsolver: four\x00\u2028x"], "five\nsix"
    made = yaml_text(draft, head)
    assert parse(made).value.keys() == {"name", "data", "net"}
    assert "# one net: two?" in made and made.startswith("# five\n# six\n")


@pytest.mark.parametrize(("value", "words"), [
    (0.0005, "5e-4"), (float(np.float32(0.0005)), "5e-4"), (np.float32(0.1), "0.1"), (0.01, "0.01"), (1e-3, "1e-3"), (0.03, "0.03"),
    (0.00390625, "0.00390625"), (1.0, "1"), (100.0, "100"), (-2.5, "-2.5"), (1e30, "1e30"), (1 / 3, "0.3333333333333333"),
    (0.0, "0"), (-0.0, "-0.0"), (1e5, "1e5"), (104.00698793, "104.00698793"), (math.inf, ".inf"), (-math.inf, "-.inf"),
    (math.nan, ".nan"), (7, "7"), (np.int64(-3), "-3"), (True, "true"), (np.bool_(False), "false"), (None, "null"),
])  # fmt: skip
def test_numbers_are_short(value: object, words: str) -> None:
    assert numeral(value) == words


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_read_back(value: float) -> None:
    found = parse(f"a: {numeral(value)}").value["a"]
    with np.errstate(over="ignore"):
        assert found == value or np.float32(found) == np.float32(value) == value
        assert math.copysign(1, found) == math.copysign(1, value)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_written_as_the_shortest_that_becomes_it(value: float) -> None:
    assert np.float32(numeral(value)) == np.float32(value)
    assert len(numeral(value)) <= len(repr(value))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=12) | st.floats(allow_nan=False, width=16),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_any_value_is_read_back(value: object) -> None:
    """A $ is written $$, which the expressions of a config make a $ again."""
    meant = stored(value, "$", "$$")
    assert stored(parse(f"a: {flow(value)}\n").value["a"]) == meant
    assert stored(parse(entry("a", value)).value["a"]) == meant


def stored(value: object, sign: str = "$", written: str = "$") -> object:
    """Numbers as float32 holds them, and $ as it is written."""
    if isinstance(value, dict):
        return {key.replace(sign, written): stored(item, sign, written) for key, item in value.items()}
    if isinstance(value, list):
        return [stored(item, sign, written) for item in value]
    if isinstance(value, str):
        return value.replace(sign, written)
    return np.float32(value) if isinstance(value, float) else value


@pytest.mark.parametrize(
    "word", ["*.bias", "a: b", "a #b", "[x]", "~", "yes", "017", "0x1f", "x,y", "'", '"', "\\", "é", "😀", "\u2028", ""]
)
def test_texts_are_quoted_where_it_matters(word: str) -> None:
    assert parse(f"{{k: {text(word)}, {text(word)}: 1}}").value == {"k": word, word: 1}


def test_names_are_readable_and_unique() -> None:
    assert readable("/features/conv.1/Conv_output_0") == "features_conv_1_Conv_output_0"
    assert readable("::", "layer") == "layer" and readable("é", "data") == "data"
    long = readable("block_" * 20 + "conv")
    assert len(long) <= 60 and long.endswith("block_conv") and long.startswith("block_")
    assert readable("x" * 90) == "x" * 60
    assert unique("conv", set()) == "conv" and unique("conv", {"conv", "conv_2"}) == "conv_3"
