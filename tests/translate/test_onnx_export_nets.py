"""Whole nets as models of ONNX: those of configs/, small, and nets that show what a layer alone does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registry
from dltrain.errors import ConfigError
from dltrain.layer import Shape
from dltrain.net import Net
from dltrain.registry import LAYERS
from dltrain.translate import to_onnx_model as models
from dltrain.translate.to_onnx import fixed_traces
from dltrain.translate.to_onnx_sheet import Fixed
from dltrain.wiring import Line
from tests import zoo
from tests.translate.onnx_pairs import Alone, Ready, kinds, run

pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

DEEP = ("resnet34", "resnet32", "resnet44", "resnet56", "resnet101", "resnet110", "resnet152", "vgg_b", "vgg_c", "vgg_d", "vgg_e")
NAMES = sorted(path.stem for path in zoo.CONFIGS.glob("*.yaml") if path.stem not in DEEP and not path.stem.endswith("-small"))


@pytest.mark.parametrize("name", NAMES)
def test_a_net_of_the_zoo_says_the_same(name: str) -> None:
    net = zoo.small(zoo.read(name), 2)
    ready = Ready(net)
    model, _ = ready.open(ready.ends, 2)
    models.check(model)
    batch = zoo.batch(net, 2, seed=5)
    theirs = run(model, batch)
    for a, b in zip(ready.ours(batch, ready.ends), theirs, strict=True):
        assert a.shape == b.shape and np.abs(a).max() > 0
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.abs(a).max()))
    assert not [node for node in kinds(model) if node in ("Loop", "If")]
    assert {node.name for node in model.graph.node} >= set(ready.ends)


# --- nets for one thing each ---
FIELDS = {"data": Shape((3, 8, 8)), "label": Shape((), "index")}


def made(*lines: tuple[str, str, dict[str, Any], Any], fields: dict[str, Shape] | None = None, batch: int = 3) -> Ready:
    """A net from (name, type, keys, bottom) each."""
    return Ready(Net([Line(name, LAYERS[kind](**keys), bottom) for name, kind, keys, bottom in lines], fields or FIELDS, batch))


def test_nodes_are_called_as_their_layers_and_constants_as_parameters() -> None:
    ready = made(
        ("conv", "Convolution", {"num_output": 4, "kernel_size": (3,)}, "data"), ("bn", "BatchNorm", {}, "conv"),
        ("relu", "ReLU", {}, "bn"), ("lrn", "LRN", {}, "relu"), ("drop", "Dropout", {}, "lrn"),
        ("ip", "InnerProduct", {"num_output": 5}, "drop"), ("prob", "Softmax", {}, "ip"),
    )  # fmt: skip
    model, _ = ready.open(("prob",))
    names = [node.name for node in model.graph.node]
    assert names == ["conv", "bn", "relu", "lrn", "drop", "ip/Flatten", "ip", "prob"]
    assert {given.name for given in model.graph.initializer} == {
        "conv.weight", "conv.bias", "bn.scale", "bn.bias", "bn.mean", "bn.variance", "number 0.5", "ip.weight", "ip.bias"
    }  # fmt: skip
    assert kinds(model)[4] == "Dropout" and model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert model.opset_import[0].version == 17 and model.ir_version == 8 and model.producer_name == "dltrain"
    held = {given.name: np.frombuffer(given.raw_data, np.float32) for given in model.graph.initializer if given.raw_data}
    states = {name.split(".")[1]: ready.values[state.handle] for name, state in ready.net.store.states.items()}
    np.testing.assert_allclose(held["bn.mean"], states["mean"] / states["factor"], rtol=1e-6)
    np.testing.assert_allclose(held["bn.variance"], states["variance"] / states["factor"], rtol=1e-6)


def test_a_matrix_that_is_another_s_transposed_is_a_constant_of_its_own() -> None:
    lines = [Line("encode", LAYERS["InnerProduct"](num_output=4), "data"),
             Line("decode", LAYERS["InnerProduct"](num_output=192), "encode", params={"weight": {"share": "encode.weight", "transpose": True}})]  # fmt: skip
    ready = Ready(Net(lines, FIELDS, 2))
    model, _ = ready.open(("decode",))
    assert kinds(model) == ["Flatten", "Gemm", "Gemm"]
    batch = zoo.batch(ready.net, 3, 0)
    np.testing.assert_allclose(run(model, batch)[0], ready.ours(batch, ("decode",))[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_filter_lets_through_what_the_data_say(kept: int) -> None:
    ready = made(
        ("some", "Filter", {}, ["data", "label"]), ("conv", "Convolution", {"num_output": 2, "kernel_size": (8,)}, "some"),
        ("flat", "Flatten", {}, "conv"),
    )  # fmt: skip
    model, sheet = ready.open(("flat",))
    assert sheet.sizes(sheet.graph.blobs["flat"].data) == ["K", 2]
    batch = zoo.batch(ready.net, 4, 0) | {"label": np.array([1] * kept + [0] * (4 - kept))[::-1]}
    theirs = run(model, batch)[0]
    assert theirs.shape == (kept, 2)
    if kept:
        np.testing.assert_allclose(theirs, ready.ours(batch, ("flat",))[0], rtol=1e-5, atol=1e-5)


def test_a_carried_state_is_an_input_and_an_output() -> None:
    """Two runs, the second with what the first has put out, are two batches of ours."""
    fields = {"data": Shape((4, 3)), "cont": Shape((4,), "index")}
    for bottom in (["data"], ["data", "cont"]):
        ready = made(("lstm", "LSTM", {"num_output": 5, "num_layers": 2, "carry": True}, bottom), fields=fields)
        model, sheet = ready.open(("lstm",))
        assert sheet.carried == {"lstm.state.before": "lstm.state.after", "lstm.cell.before": "lstm.cell.after"}
        assert [given.name for given in model.graph.input] == [*bottom, *sheet.carried]
        states = {name: np.zeros((3, 2, 5), np.float32) for name in sheet.carried}
        for seed in range(3):
            batch = zoo.batch(ready.net, 3, seed)
            theirs, *ends = run(model, batch | states)
            np.testing.assert_allclose(theirs, ready.ours(batch, ("lstm",))[0], rtol=1e-5, atol=1e-6)
            states = dict(zip(sheet.carried, ends))


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("bottom", [["x", "cont"], {"x": "x", "mask": "mask"}, {"x": "x", "x_static": "static"}, {"x": "x", "h0": "h"}, ["x"]],
                         ids=["cont", "mask", "static", "h0", "alone"])  # fmt: skip
@pytest.mark.parametrize(
    ("kind", "keys"),
    [("LSTM", {"peepholes": True}), ("LSTM", {"bias_term": False}), ("GRU", {}), ("GRU", {"reset": "before", "bias_term": False}),
     ("GRU", {"bias_term": False}), ("RNN", {}), ("RNN", {"activation": "relu", "bias_term": False})],
)  # fmt: skip
def test_a_recurrent_layer_of_two_ways(kind: str, keys: dict[str, Any], bottom: Any, time_major: bool) -> None:
    """Starts within a sequence, padding, what is seen at every step: with an operator of ONNX where it has them."""
    n, t = 3, 5
    first = (t, n) if time_major else (n, t)
    fields = {
        "x": Shape((*first, 4)),
        "cont": Shape(first, "index"),
        "mask": Shape(first),
        "static": Shape((n, 2)),
        "h": Shape((n, 2, 3)),
    }
    layer = LAYERS[kind](num_output=3, bidirectional=True, time_major=time_major, **keys)
    used = list(bottom.values()) if isinstance(bottom, dict) else bottom
    roles = ["x", "cont", "static", "h", *(["h"] if kind == "LSTM" else []), "mask"]
    if any(role in used for role in ("static", "h", "mask")):  # bottoms stand in their order: those before must be there, too
        used = roles[: roles.index(used[-1]) + 1 + (kind == "LSTM" and used[-1] == "h")]
    shapes = [fields[role] for role in used]
    rng = np.random.default_rng(2)
    drawn = {"cont": lambda shape: rng.integers(0, 2, shape), "mask": lambda shape: rng.integers(0, 2, shape) / 2}
    xs = [drawn.get(role, rng.standard_normal)(fields[role]) for role in used]
    alone = Alone(layer, shapes)
    params = {part.role: rng.standard_normal(part.shape) for part in alone.store.segments.values()}
    ours, _, _ = alone.run(xs, [np.zeros(shape) for shape in alone.promised], params)
    model = alone.model(alone, params)
    assert ({"LSTM", "GRU", "RNN"} & set(kinds(model)) != set()) == (used == ["x"])
    for a, b in zip(ours, run(model, {f"x{number}": x for number, x in enumerate(xs)}), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_an_input_layer_is_an_input() -> None:
    ready = made(("given", "Input", {"shape": (2, 3)}, []), ("tanh", "TanH", {}, "given"), fields={"data": Shape((1,))})
    model, sheet = ready.open(("tanh",))
    assert sheet.inputs["given"][1] == [2, 3] and kinds(model) == ["Tanh"]
    np.testing.assert_allclose(run(model, {"given": np.ones((2, 3))})[0], np.tanh(np.ones((2, 3))), rtol=1e-6)


def test_an_output_that_is_constant_is_put_out_all_the_same() -> None:
    ready = made(("w", "Parameter", {"shape": (2, 3)}, []), ("twice", "Power", {"scale": 2.0}, "w"), fields={"data": Shape((1,))})
    model, _ = ready.open(("twice",))
    np.testing.assert_allclose(run(model, {})[0], ready.ours(zoo.batch(ready.net, 2, 0), ("twice",))[0])


def test_a_fixed_shape_fixes_the_number_of_samples() -> None:
    ready = made(("rows", "Reshape", {"shape": (3, 192)}, "data"))
    with pytest.raises(Fixed, match="a layer"):
        ready.open(("rows",))
    model, _ = models.write(*fixed_traces(ready.net, ("rows",), 3), ready.values, ("rows",))
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [3, 3, 8, 8]


def test_all_layers_that_cannot_be_said_are_named_at_once() -> None:
    users = str(zoo.CONFIGS.parent / "tests" / "fixtures" / "user_layers.py")
    keys = {"module": users, "layer": "Sine", "keys": {"rate": 2.0}}
    ready = made(("one", "Python", keys, "data"), ("relu", "ReLU", {}, "one"), ("two", "Python", keys, "relu"))
    with pytest.raises(
        ConfigError, match=r"net: ONNX cannot say all of this net: layer 'one' \(Python\): .*; layer 'two' \(Python\): "
    ):
        ready.open(("two",))
    model, _ = made(("one", "ReLU", {}, "data"), ("two", "Python", keys, "one")).open(("one",))
    assert kinds(model) == ["Relu"]
