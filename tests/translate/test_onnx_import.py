"""Nets as exporters write them: imported, they give what onnxruntime gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not there: pip install onnx")
pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from dltrain.translate.onnx_import import imported  # noqa: E402
from tests.translate.onnx_runs import agree, ints, model, node, ours  # noqa: E402

RNG = np.random.default_rng(7)


def w(*sizes: int) -> Any:
    return RNG.standard_normal(sizes).astype(np.float32)


def lines(made: Any, folder: Path) -> list[tuple[str, str]]:
    path = folder / "lines.onnx"
    onnx.save(made, path)
    return [(part.name, part.type) for part in imported(path).draft.net]


# --- PyTorch's exporter ---
def lenet(batch: int | str = "batch") -> Any:
    nodes = [
        node("Conv", "input conv1.weight conv1.bias", "a", name="/conv1/Conv", pads=[2] * 4),
        node(
            "BatchNormalization",
            "a bn.weight bn.bias bn.running_mean bn.running_var",
            "b",
            name="/bn/BatchNormalization",
            epsilon=1e-3,
        ),
        node("Relu", "b", "c", name="/relu/Relu"),
        node("MaxPool", "c", "d", name="/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", "d", "shape", name="/Shape"),
        node("Gather", "shape zero", "n", name="/Gather", axis=0),
        node("Unsqueeze", "n axes", "n1", name="/Unsqueeze"),
        node("Concat", "n1 rest", "to", name="/Concat", axis=0),
        node("Reshape", "d to", "e", name="/Reshape"),
        node("Gemm", "e fc.weight fc.bias", "f", name="/fc/Gemm", transB=1),
        node("LogSoftmax", "f", "out", name="/LogSoftmax", axis=1),
    ]
    return model(
        nodes, {"input": (batch, 1, 8, 8)}, ["out"],
        zero=np.array(0), axes=ints(0), rest=ints(-1),
        **{"conv1.weight": w(4, 1, 5, 5), "conv1.bias": w(4), "bn.weight": w(4), "bn.bias": w(4), "bn.running_mean": w(4),
           "bn.running_var": np.abs(w(4)) + 0.5, "fc.weight": w(10, 64), "fc.bias": w(10)},
    )  # fmt: skip


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_a_net_of_pytorch(tmp_path: Path, batch: int | str) -> None:
    made = lenet(batch)
    agree(made, tmp_path)
    assert lines(made, tmp_path) == [
        ("conv1", "Convolution"), ("bn", "BatchNorm"), ("relu", "ReLU"), ("pool", "Pooling"), ("fc", "InnerProduct"),
        ("logsoftmax", "LogSoftmax"),
    ]  # fmt: skip
    draft = imported(tmp_path / "net.onnx").draft
    assert draft.data == {"source": {"type": "blank", "shapes": {"input": [1, 8, 8]}}} | ({"batch_size": 3} if batch == 3 else {})
    assert not draft.notes
    np.testing.assert_array_equal(draft.weights["states/bn.factor"], [1])


def test_the_config_is_what_a_person_would_write(tmp_path: Path) -> None:
    from dltrain.translate.yaml_text import yaml_text

    onnx.save(lenet(), tmp_path / "lenet.onnx")
    made = imported(tmp_path / "lenet.onnx")
    assert (
        yaml_text(made.draft, made.head)
        == """\
# lenet, from lenet.onnx (ONNX, opset 17, by tests).
# The output out is logsoftmax.
name: lenet
data:
  source: {type: blank, shapes: {input: [1, 8, 8]}}
net:
  - {name: conv1,      type: Convolution,  num_output: 4, kernel_size: 5, pad: 2}               # 4 x 8 x 8
  - {name: bn,         type: BatchNorm,    moving_average_fraction: 0.9, eps: 1e-3}
  - {name: relu,       type: ReLU}
  - {name: pool,       type: Pooling,      pool: max, kernel_size: 2, stride: 2, round: floor}  # 4 x 4 x 4
  - {name: fc,         type: InnerProduct, num_output: 10}                                      # 10
  - {name: logsoftmax, type: LogSoftmax}
"""
    )


def test_a_residual_net_with_squeeze_and_excitation(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x c.weight", "a", name="/body/c/Conv", pads=[1] * 4),
        node("ReduceMean", "a", "m", axes=[2, 3], keepdims=1),
        node("Conv", "m s.weight s.bias", "s"),
        node("HardSigmoid", "s", "g", alpha=0.2),
        node("Mul", "a g", "ag"),
        node("Add", "ag x", "sum", name="/body/Add"),
        node("Constant", "", "six", value=numpy_helper.from_array(np.float32(6))),
        node("Clip", "sum low six", "r"),
        node("AveragePool", "r", "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        node("GlobalAveragePool", "p", "q"),
        node("Flatten", "q", "f"),
        node("Dropout", "f ratio", "d"),
        node("MatMul", "d w", "mm"),
        node("Add", "mm b", "y"),
    ]
    made = model(
        nodes, {"x": ("n", 4, 6, 5)}, ["y"], low=np.float32(0), ratio=np.float32(0.3), w=w(4, 3), b=w(3),
        **{"c.weight": w(4, 4, 3, 3), "s.weight": w(4, 4, 1, 1), "s.bias": w(4)},
    )  # fmt: skip
    agree(made, tmp_path)
    names = lines(made, tmp_path)
    assert ("c", "Convolution") in names and ("add", "Eltwise") in names and ("r", "ReLU6") in names
    assert [kind for _, kind in names[-3:]] == ["Flatten", "Dropout", "InnerProduct"]  # the bias has gone into it


def test_channels_that_are_shuffled_split_and_joined(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", "x five", "a"), node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]), node("Reshape", "b four", "c"),
        node("Split", "c sizes", "d e", axis=1), node("Slice", "c start end axes", "f"), node("Concat", "e d f", "y", axis=1),
        node("Gather", "c last", "z", axis=1),
    ]  # fmt: skip
    agree(model(nodes, {"x": (1, 6, 3, 2)}, ["y", "z"], five=ints(1, 2, 3, 3, 2), four=ints(1, -1, 3, 2), sizes=ints(2, 4), start=ints(1),
                end=ints(3), axes=ints(1), last=np.array(-1)), tmp_path)  # fmt: skip


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("first", [0, 1], ids=["time", "batch"])
def test_words_through_a_recurrent_net(tmp_path: Path, kind: str, ways: int, first: int) -> None:
    rows, h = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind] * 5, 5
    nodes = [
        node("Gather", "emb.weight words", "e"),
        *([node("Transpose", "e", "t", perm=[1, 0, 2])] if first else [node("Identity", "e", "t")]),
        node("Shape", "t", "sh"), node("Gather", "sh one", "n"), node("Unsqueeze", "n zero", "n1"),
        node("Concat", "ways n1 h", "zs", axis=0), node("ConstantOfShape", "zs", "h0"),
        helper.make_node(kind, ["t", "W", "R", "B", "", "h0", *(["h0"] if kind == "LSTM" else [])], ["y", "yh"], name="/rnn/" + kind,
                         hidden_size=h, direction="bidirectional" if ways == 2 else "forward",
                         **({"linear_before_reset": 1} if kind == "GRU" else {})),
        node("Transpose", "y", "yt", perm=[0, 2, 1, 3]), node("Reshape", "yt keep", "z"),
        node("Gather", "z minus", "last", axis=0), node("Gemm", "last fc.weight fc.bias", "out", transB=1),
    ]  # fmt: skip
    made = model(
        nodes, {"words": ("batch", 7) if first else (7, "batch")}, ["out", "yh"], kind=TensorProto.INT64,
        one=np.array(1), zero=ints(0), ways=ints(ways), h=ints(h), keep=ints(0, 0, -1), minus=np.array(-1),
        W=w(ways, rows, 4), R=w(ways, rows, h), B=w(ways, 2 * rows),
        **{"emb.weight": w(20, 4), "fc.weight": w(3, h * ways), "fc.bias": w(3)},
    )  # fmt: skip
    agree(made, tmp_path, {"words": RNG.integers(0, 20, (2, 7) if first else (7, 2))})
    draft = imported(tmp_path / "net.onnx").draft
    assert draft.data["source"]["classes"] == {"words": 20}
    assert [part.type for part in draft.net][:2] == ["Embed", kind] and not any(part.type == "Permute" for part in draft.net)


def test_attention_with_a_learned_token_and_places(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "sh"), node("Gather", "sh zero", "n"), node("Unsqueeze", "n axis0", "n1"),
        node("Concat", "n1 minus minus", "ex", axis=0), node("Equal", "ex minus3", "eq"), node("Where", "eq ones3 ex", "ex2"),
        node("Expand", "cls ex2", "c"), node("Concat", "c x", "a", axis=1), node("Add", "a pos", "b"),
        node("LayerNormalization", "b g bb", "nrm"),
        node("MatMul", "nrm q", "q1"), node("Reshape", "q1 heads", "q2"), node("Transpose", "q2", "q3", perm=[0, 2, 1, 3]),
        node("Transpose", "q2", "k3", perm=[0, 2, 3, 1]), node("MatMul", "q3 k3", "s"), node("Div", "s two", "s2"),
        node("Softmax", "s2", "sm"), node("MatMul", "sm q3", "v"), node("Transpose", "v", "v2", perm=[0, 2, 1, 3]),
        node("Reshape", "v2 back", "y"), node("Gather", "y zero", "out", axis=1),
    ]  # fmt: skip
    made = model(
        nodes, {"x": ("batch", 3, 6)}, ["out", "sm"], zero=np.array(0), axis0=ints(0), minus=ints(-1), minus3=ints(-1, -1, -1),
        ones3=ints(1, 1, 1), cls=w(1, 1, 6), pos=w(1, 4, 6), g=w(6), bb=w(6), q=w(6, 8), heads=ints(0, 4, 2, 4), two=np.float32(2),
        back=ints(0, 0, 8),
    )  # fmt: skip
    agree(made, tmp_path)


# --- others' exporters ---
def test_a_net_of_keras_with_the_channels_last(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "input_1:0", "a", name="net/model/conv/Conv2D__6", perm=[0, 3, 1, 2]),
        node("Conv", "a kernel bias", "b", name="net/model/conv/Conv2D", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Relu", "b", "c", name="net/model/conv/Relu"),
        node("MaxPool", "c", "d", name="net/model/pool/MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        node("Transpose", "d", "e", name="net/model/flatten/T", perm=[0, 2, 3, 1]),
        node("Reshape", "e shape", "f", name="net/model/flatten/Reshape"),
        node("MatMul", "f dense", "g", name="net/model/dense/MatMul"),
        node("Add", "g dense_bias", "h", name="net/model/dense/BiasAdd"),
        node("Softmax", "h", "Identity:0", name="net/model/dense/Softmax"),
    ]
    made = model(nodes, {"input_1:0": ("unk", 9, 8, 3)}, ["Identity:0"], opset=13, kernel=w(4, 3, 3, 3), bias=w(4), shape=ints(-1, 24),
                 dense=w(24, 5), dense_bias=w(5))  # fmt: skip
    agree(made, tmp_path)
    assert lines(made, tmp_path)[0][1] == "Permute"


def test_old_files_say_things_in_attributes(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "data_0 conv1_w_0 conv1_b_0", "conv1_1"), node("Relu", "conv1_1", "conv1_2"),
        node("Unsqueeze", "conv1_2", "u", axes=[1]), node("Squeeze", "u", "s", axes=[1]),
        node("Clip", "s", "c", min=-0.5, max=0.5), node("Pad", "c", "p", pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.0),
        node("Slice", "p", "sl", starts=[1], ends=[4], axes=[2]), node("Dropout", "sl", "d _mask", ratio=0.4),
        node("ReduceSum", "d", "r", axes=[1], keepdims=0), node("Softmax", "r", "y", axis=1), node("Upsample", "d scales", "up"),
    ]  # fmt: skip
    made = model(nodes, {"data_0": (1, 2, 5, 4)}, ["y", "up"], opset=9, conv1_w_0=w(3, 2, 2, 2), conv1_b_0=w(3),
                 scales=np.array([1, 1, 2, 3], np.float32))  # fmt: skip
    made.ir_version = 3
    for tensor in made.graph.initializer:  # weights among the inputs, as then
        made.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    agree(made, tmp_path)
    assert lines(made, tmp_path)[:2] == [("conv1", "Convolution"), ("conv1_relu", "ReLU")]


def test_before_opset_7_a_bias_says_where_it_begins(tmp_path: Path) -> None:
    nodes = [node("Add", "x b", "a", broadcast=1, axis=1), node("Mul", "a s", "y", broadcast=1, axis=1)]
    made = model(nodes, {"x": (2, 3, 4, 4)}, ["y"], opset=6, b=np.arange(3, dtype=np.float32), s=np.array([2, 1, -1], np.float32))
    onnx.save(made, tmp_path / "net.onnx")
    x = w(2, 3, 4, 4)
    expected = (x + np.arange(3).reshape(3, 1, 1)) * np.array([2, 1, -1]).reshape(3, 1, 1)
    np.testing.assert_allclose(ours(tmp_path / "net.onnx", {"x": x})["y"], expected, rtol=1e-6)


def test_weights_of_sixteen_bits_become_float32(tmp_path: Path) -> None:
    made = model([node("Gemm", "x fc.weight fc.bias", "y", transB=1)], {"x": (1, 4)}, ["y"], kind=TensorProto.FLOAT16,
                 **{"fc.weight": w(3, 4).astype(np.float16), "fc.bias": w(3).astype(np.float16)})  # fmt: skip
    onnx.save(made, tmp_path / "net.onnx")
    x, weight, bias = w(2, 4), *(numpy_helper.to_array(tensor).astype(np.float32) for tensor in made.graph.initializer)
    np.testing.assert_allclose(ours(tmp_path / "net.onnx", {"x": x})["y"], x @ weight.T + bias, rtol=1e-5)
    assert imported(tmp_path / "net.onnx").draft.notes == ["weights of 16 bits became float32"]


def test_quantized_weights_are_worked_out(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "q s z", "w", axis=0), node("Conv", "x w", "y")]
    made = model(nodes, {"x": (1, 2, 4, 4)}, ["y"], q=RNG.integers(-99, 99, (3, 2, 3, 3)).astype(np.int8),
                 s=np.array([0.1, 0.2, 0.05], np.float32), z=np.array([1, -2, 0], np.int8))  # fmt: skip
    agree(made, tmp_path)


# --- what comes out ---
def test_an_output_that_others_read_stays_an_output(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Sigmoid", "a", "b"), node("Split", "b", "c d", axis=1), node("Identity", "x", "e")]
    found = agree(model(nodes, {"x": (2, 4)}, ["a", "c", "d", "e"]), tmp_path)
    assert found["d"].shape == (2, 2)
    assert [part.name for part in imported(tmp_path / "net.onnx").draft.net] == ["a", "b", "c", "a_2", "d", "e"]


def test_nodes_that_no_output_needs_are_left_out(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Einsum", "x x", "b", equation="ij,ij->i"), node("Tanh", "a", "y")]
    assert [kind for _, kind in lines(model(nodes, {"x": (1, 4)}, ["y"]), tmp_path)] == ["ReLU", "TanH"]
