"""dltrain import onnx: what cannot be said is told all at once; damaged and hostile files are one message, and cost nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="onnx is not there: pip install onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from dltrain.cli import cli  # noqa: E402
from dltrain.errors import ConfigError, DataError, DltrainError  # noqa: E402
from dltrain.translate.onnx_import import imported  # noqa: E402
from tests.translate.onnx_runs import model, node, saved  # noqa: E402

RNG = np.random.default_rng(3)


def w(*sizes: int) -> Any:
    return RNG.standard_normal(sizes).astype(np.float32)


def small() -> Any:
    return model([node("Gemm", "x fc.weight fc.bias", "y", transB=1)], {"x": ("batch", 4)}, ["y"],
                 **{"fc.weight": w(3, 4), "fc.bias": w(3)})  # fmt: skip


def refused(made: Any, folder: Path, words: str, **keys: Any) -> str:
    path = saved(made, folder)
    with pytest.raises(DataError, match=words) as caught:
        imported(path, **keys)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


# --- operators ---
def test_every_operator_without_a_layer_is_told_with_its_nodes(tmp_path: Path) -> None:
    nodes = [
        *(node("Round", f"a{n}", f"a{n + 1}", name=f"/steps_{n}/Round") for n in range(10)),
        node("Conv", "a0 w", "c", name="conv", dilations=[2, 2]), node("MaxPool", "c", "d", name="pool", kernel_shape=[2, 2], dilations=[2, 2]),
        node("Det", "a10", "e", name="sum"), node("NonZero", "d", "f"), node("Gru2", "e", "g", domain="mine"),
    ]  # fmt: skip
    made = model(nodes, {"a0": (1, 3, 8, 8)}, ["f", "g"], w=w(4, 3, 3, 3))
    text = refused(made, tmp_path, "not all of the net can be said in layers; nothing was written:")
    assert text.splitlines()[1:] == [
        "  Round, 10 times (/steps_0/Round, /steps_1/Round, /steps_2/Round, /steps_3/Round, /steps_4/Round, /steps_5/Round, /steps_6/Round, "
        "/steps_7/Round and 2 more): there is no such layer",
        "  MaxPool, once (pool): a window of Pooling has no gaps",
        "  Det, once (sum): there is no such layer",
        "  NonZero, once (f): there is no such layer",
        "  Gru2, once (g): of the domain mine, which is not read",
    ]


@pytest.mark.parametrize(("nodes", "shape", "words"), [
    ([node("Reshape", "x to", "y")], (2, 3, 4), r"Reshape, once \(y\): the shape \[3, -1\] puts the samples together with something"),
    ([node("ReduceMean", "x", "y", axes=[0])], (2, 3), "works along axis 0, which is the batch: samples do not meet in a net of ours"),
    ([node("Gemm", "x x", "y")], (2, 2), "its second input is computed by the net, and no constant"),
    ([node("Concat", "x x", "y", axis=0)], (2, 3), "works along axis 0, which is the batch"),
    ([node("Conv", "x w", "y")], (2, 5, 4, 4), "Convolution is 4 x 5 x 3 x 3 here, and the file has 4 x 3 x 3 x 3"),
    ([node("Conv", "x w", "y", strides=[0, 1])], (2, 3, 4, 4), "a window of .3, 3. with strides .0, 1."),
    ([node("Conv", "x w", "y")], (2, 3, 2, 2), "Convolution kernel_size is larger than its bottom"),
    ([node("Conv", "x", "y")], (2, 3, 4, 4), "its inputs are too few or too many"),
    ([node("Relu", "x x", "y")], (2, 3), "its inputs are too few or too many"),
    ([node("Dropout", "x", "a m"), node("Cast", "m", "y", to=1)], (2, 3), "reads an output that is not made here, such as the mask"),
    ([node("MaxPool", "x", "a i", kernel_shape=[2, 2]), node("Cast", "i", "y", to=1)], (2, 3, 4, 4), "whole numbers to real ones|places of a"),
    ([node("Resize", "x e half", "y", coordinate_transformation_mode="tf_crop_and_resize")], (1, 3, 4, 4), "mode nearest with tf_crop_and_"),
    ([node("Resize", "x e less", "y", mode="linear", antialias=1)], (1, 3, 4, 4), "Resize, once .y.: antialias"),
    ([node("Pow", "x x", "y")], (2, 3), "its exponent is computed by the net"),
    ([node("BatchNormalization", "x v v v v", "y", training_mode=1)], (2, 3, 4), "by the batch at hand"),
    ([node("If", "x", "y")], (2, 3), "chooses by what the net computes"),
    ([node("Expand", "x huge", "y")], (2, 1), "Expand, once .y.: grows to 4,611,686,018,427,387,904 numbers a sample"),
])  # fmt: skip
def test_what_a_node_cannot_be_is_told_in_its_words(tmp_path: Path, nodes: list[Any], shape: Any, words: str) -> None:
    made = model(nodes, {"x": shape}, ["y"], to=np.array([3, -1]), w=w(4, 3, 3, 3), v=w(3), half=np.array([1, 1, 1.5, 1], np.float32), less=np.array([1, 1, 0.5, 1], np.float32),
                 e=np.zeros(0, np.float32), huge=np.array([1, 2**62]))  # fmt: skip
    refused(made, tmp_path, words)


def test_a_constant_that_would_fill_the_memory_is_not_made(tmp_path: Path) -> None:
    nodes = [node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")]
    refused(
        model(nodes, {"x": (1, 4)}, ["y"], s=np.array([2**40, 2**20])),
        tmp_path,
        "asks for a constant of 1,152,921,504,606,846,976 numbers",
    )
    nodes = [node("Range", "a b c", "r"), node("Add", "x r", "y")]
    refused(
        model(nodes, {"x": (1, 4)}, ["y"], a=np.array(0), b=np.array(2**50), c=np.array(1)), tmp_path, "asks for a constant of"
    )
    nodes = [node("Expand", "a s", "b"), node("Tile", "b s", "c"), node("Add", "x c", "y")]
    refused(
        model(nodes, {"x": (1, 4)}, ["y"], a=w(1, 1), s=np.array([8192, 8192])), tmp_path, "Tile, once .*asks for a constant of"
    )


def test_shapes_that_no_net_has_are_refused(tmp_path: Path) -> None:
    nodes = [node("Pad", "x pads", "a"), node("Shape", "a", "s"), node("Reshape", "x s", "y")]
    refused(model(nodes, {"x": (1, 4)}, ["y"], pads=np.array([0, -3, 0, -3])), tmp_path, "Pad, once .a.: ")
    huge = [node("Expand", "x s", "a"), node("Size", "a", "n"), node("Reshape", "x n", "y")]
    refused(model(huge, {"x": ("n", 1)}, ["y"], s=np.array([1, 2**31])), tmp_path, "Reshape, once .y.: ")
    made = model([helper.make_node("LSTM", [], ["y"], hidden_size=2)], {"x": (1, 2, 3)}, ["y", "x"])
    refused(made, tmp_path, "LSTM, once .y.: ")


def test_what_is_divided_by_nothing_is_the_largest_number(tmp_path: Path) -> None:
    path = saved(model([node("Div", "x z", "y")], {"x": (1, 3)}, ["y"], z=np.array([0, -0.0, 2], np.float32)), tmp_path)
    weights = imported(path).draft.weights["data/y/0"]
    assert weights.tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min, 0.5]


# --- inputs ---
def test_sizes_that_are_open_are_asked_for(tmp_path: Path) -> None:
    made = model([node("GlobalAveragePool", "input.1", "y")], {"input.1": ("n", 3, "height", "width")}, ["y"])
    words = r"sizes of a sample must be known: the input 'input.1' is N x 3 x height x width; say --shape input_1=3,\?,\?"
    refused(made, tmp_path, words)
    for name in ("input.1", "input_1"):
        assert imported(tmp_path / "net.onnx", {name: (3, 5, 6)}).draft.data["source"]["shapes"] == {"input_1": [3, 5, 6]}
    refused(made, tmp_path, "say --shape", shapes={"input_1": (3, 5)})
    with pytest.raises(ConfigError, match="--shape inptu_1: there is no such input; did you mean 'input.1'"):
        imported(tmp_path / "net.onnx", {"inptu_1": (3, 5, 6)})


def test_inputs_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    refused(
        model([node("Identity", "x", "y")], {"x": (1, 3)}, ["y"], kind=TensorProto.STRING),
        tmp_path,
        "the input 'x' is no array of numbers",
    )
    refused(model([node("Relu", "x", "y")], {"x": ()}, ["y"]), tmp_path, "the input 'x' is one number, no batch")
    refused(
        model([node("Relu", "x", "y")], {"x": (1, 2**20, 2**20)}, ["y"]), tmp_path, "claims 1,099,511,627,776 numbers a sample"
    )
    refused(model([node("Relu", "c", "y")], {}, ["y"], c=w(3)), tmp_path, "its net reads nothing")
    refused(model([node("Relu", "other", "y")], {"x": (1, 3)}, ["y"]), tmp_path, "its net reads nothing")
    refused(
        model([node("Add", "x other", "y")], {"x": (1, 3)}, ["y"]),
        tmp_path,
        "node 'y' reads 'other', which nothing before it makes",
    )


# --- damaged and hostile files ---
def test_what_is_no_file_of_onnx(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(DataError, match="net.onnx: cannot be read"):
        imported(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="holds no net: is it an ONNX file, and whole"):
        imported(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    with pytest.raises(DataError, match="is damaged, cut short or no ONNX file"):
        imported(path)


def tensor(**keys: Any) -> Any:
    made = TensorProto(name="fc.weight", data_type=TensorProto.FLOAT)
    for key, value in keys.items():
        getattr(made, key).extend(value) if isinstance(value, list) else setattr(made, key, value)
    return made


@pytest.mark.parametrize(("given", "words"), [
    (tensor(dims=[3, 4], raw_data=bytes(44)), r"claims 48 bytes by its shape \[3, 4\] and holds 44"),
    (tensor(dims=[2**40, 2**40], raw_data=bytes(48)), "claims 4,835,703,278,458,516,698,824,704 bytes"),
    (tensor(dims=[3, 4], float_data=[1.0] * 11), r"claims 12 numbers by its shape \[3, 4\] and holds 11"),
    (tensor(dims=[3, -4], raw_data=bytes(48)), r"claims the shape \[3, -4\]"),
    (tensor(dims=[3, 4], data_type=TensorProto.STRING), r"is of a type \(number 8\) that a net of ours has not"),
    (tensor(dims=[3, 4], data_type=99), r"is of a type \(number 99\)"),
])  # fmt: skip
def test_a_tensor_that_claims_more_than_there_is(tmp_path: Path, given: Any, words: str) -> None:
    made = small()
    made.graph.initializer[0].CopyFrom(given)
    refused(made, tmp_path, f"the tensor 'fc.weight' {words}")


def outside(made: Any, **said: Any) -> Any:
    held = made.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    for key, value in said.items():
        held.external_data.add(key=key, value=str(value))
    return made


def test_weights_may_lie_in_a_file_beside(tmp_path: Path) -> None:
    array = w(3, 4)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "net.data").write_bytes(bytes(8) + array.tobytes())
    path = saved(outside(small(), location="more/net.data", offset=8, length=48), tmp_path)
    np.testing.assert_array_equal(imported(path).draft.weights["data/fc/0"], array)


@pytest.mark.parametrize(("said", "words"), [
    ({"location": "../secret"}, "lies in '../secret', outside the folder of the file, and is not read"),
    ({"location": "/etc/passwd"}, "lies in '/etc/passwd', and a file must say one in its own folder"),
    ({"location": "link"}, "lies in 'link', outside the folder of the file"),
    ({}, "lies in '', and a file must say one"),
    ({"location": "net.data", "offset": 2}, "claims 48 bytes at 2 of .*net.data, which has 48"),
    ({"location": "net.data", "offset": -8}, "claims 48 bytes at -8"),
    ({"location": "net.data", "length": 40}, "claims 48 bytes at 0"),
    ({"location": "net.data", "offset": "much"}, "cannot be read"),
    ({"location": "."}, "needs .* which is not there"),
    ({"location": "gone.data"}, "needs .*gone.data, which is not there; put it beside the file"),
])  # fmt: skip
def test_weights_elsewhere_are_not_read(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "net.data").write_bytes(bytes(48))
    refused(outside(small(), **said), folder, words)


def test_tensors_that_claim_one_file_again_and_again(tmp_path: Path) -> None:
    made = outside(small(), location="net.data")
    other = made.graph.initializer[1]
    other.ClearField("raw_data")
    other.data_location = TensorProto.EXTERNAL
    other.external_data.add(key="location", value="net.data")
    (tmp_path / "net.data").write_bytes(bytes(50))
    refused(made, tmp_path, "the tensor 'fc.bias' overlaps with others: together they claim more than")


def test_what_is_said_twice_or_from_the_future(tmp_path: Path) -> None:
    refused(model([node("Relu", "x", "y"), node("Tanh", "x", "y")], {"x": (1, 3)}, ["y"]), tmp_path, "'y' is made twice")
    made = small()
    made.graph.initializer.append(made.graph.initializer[0])
    refused(made, tmp_path, "the tensor 'fc.weight' stands twice")
    made = small()
    made.opset_import[0].version = 999
    refused(made, tmp_path, "is written in opset 999, and 1 to 30 are read")
    made = small()
    made.graph.sparse_initializer.add()
    refused(made, tmp_path, "has sparse weights, which are not read")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_a_message_or_a_net(tmp_path: Path, data: Any) -> None:
    image = bytearray(small().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "net.onnx"
    path.write_bytes(bytes(image[: data.draw(st.integers(len(image) // 2, len(image)))]))
    try:
        imported(path)
    except DltrainError as error:
        assert str(error)


def functions(*bodies: list[Any]) -> Any:
    """A model whose node calls F0; the bodies are those of F0, F1, and so on."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    made = model([node("F0", "x", "y", domain="mine", name="act")], {"x": ("n", 3)}, ["y"])
    made.opset_import.append(opsets[1])
    made.functions.extend(helper.make_function("mine", f"F{n}", ["x"], ["y"], body, opsets) for n, body in enumerate(bodies))
    return made


def test_functions_are_laid_out_unless_they_have_no_end(tmp_path: Path) -> None:
    path = saved(functions([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")]), tmp_path)
    assert [part.type for part in imported(path).draft.net] == ["Swish"]
    refused(functions([node("F0", "x", "y", domain="mine")]), tmp_path, "its function F0 calls itself")
    twice = [[node(f"F{n + 1}", "x", "a", domain="mine"), node(f"F{n + 1}", "a", "y", domain="mine")] for n in range(40)]
    refused(functions(*twice, [node("Relu", "x", "y")]), tmp_path, "its functions lay out to more than 200,000 nodes")


# --- the command ---
def test_the_command_writes_a_config_and_weights(tmp_path: Path) -> None:
    path = saved(small(), tmp_path)
    made = CliRunner().invoke(cli, ["import", "onnx", str(path), "-o", str(tmp_path / "out"), "--json"])
    assert made.exit_code == 0, made.output
    report = json.loads(made.output)
    assert report["parameters"] == 15 and report["inputs"] == {"x": [4]} and report["outputs"] == {"fc": [3]}
    np.save(tmp_path / "x.npy", np.ones(4, np.float32))
    words = ["predict", report["config"], str(tmp_path / "x.npy"), "--weights", report["weights"], "--json", "-q"]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 0, said.output
    weight, bias = (numpy_helper.to_array(tensor) for tensor in small_again(path))
    found = json.loads(said.output)["predictions"][0]
    assert max(weight.sum(1) + bias) == pytest.approx(max(numbers(found)), rel=1e-5)
    again = CliRunner().invoke(cli, ["import", "onnx", str(path), "-o", str(tmp_path / "out")])
    assert isinstance(again.exception, ConfigError) and "is there already" in str(again.exception)


def small_again(path: Path) -> Any:
    return onnx.load(path).graph.initializer


def numbers(value: Any) -> list[float]:
    """All numbers in a tree."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []


def test_without_onnx_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(small(), tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match=r"onnx is missing, which reads these files: pip install 'dltrain\[onnx\]'"):
        imported(path)
