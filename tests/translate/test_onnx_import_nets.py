"""Pieces of newer nets, attention and masks among them, as exporters write them: imported, they give what onnxruntime gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not there: pip install onnx")
pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from dltrain.errors import DataError  # noqa: E402
from dltrain.translate.onnx_import import imported  # noqa: E402
from tests.translate.onnx_runs import agree, ints, model, node, saved  # noqa: E402

RNG = np.random.default_rng(3)


def w(*sizes: int) -> Any:
    return RNG.standard_normal(sizes).astype(np.float32)


def real(value: float) -> Any:
    return np.array(value, np.float32)


def types(made: Any, folder: Path) -> list[str]:
    return [part.type for part in imported(saved(made, folder)).draft.net]


# --- activations spelled out ---
ERF = [node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c")]
CUBE = [node("Mul", "x x", "x2"), node("Mul", "x x2", "x3"), node("Mul", "x3 k", "k3"), node("Add", "x k3", "a"),
        node("Mul", "a p", "b"), node("Tanh", "b", "t"), node("Add", "t one", "c")]  # fmt: skip
SPELLED = [
    ([*ERF, node("Mul", "x c", "d"), node("Mul", "d half", "y")], "ExactGELU"),
    ([*ERF, node("Mul", "x half", "d"), node("Mul", "d c", "y")], "ExactGELU"),
    ([*ERF, node("Mul", "c half", "d"), node("Mul", "d x", "y")], "ExactGELU"),
    ([*CUBE, node("Mul", "x c", "d"), node("Mul", "half d", "y")], "GELU"),
    ([node("Pow", "x three", "x3"), *CUBE[2:], node("Mul", "x half", "d"), node("Mul", "d c", "y")], "GELU"),
    ([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], "Swish"),
    ([node("Mul", "x two", "a"), node("Sigmoid", "a", "s"), node("Mul", "s x", "y")], "Swish"),
    ([node("HardSigmoid", "x", "s", alpha=1 / 6), node("Mul", "x s", "y")], "HardSwish"),
    (
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"), node("Div", "c six", "y")],
        "HardSwish",
    ),
    (
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "c"), node("Mul", "x c", "y")],
        "HardSwish",
    ),
]
NUMBERS = {"r": real(2**0.5), "one": real(1), "half": real(0.5), "two": real(2), "three": real(3), "six": real(6), "zero": real(0),
           "k": real(0.044715), "p": real((2 / np.pi) ** 0.5)}  # fmt: skip


@pytest.mark.parametrize(("nodes", "layer"), SPELLED)
def test_an_activation_that_is_spelled_out_is_one_layer(tmp_path: Path, nodes: list[Any], layer: str) -> None:
    made = model(nodes, {"x": ("n", 3, 5)}, ["y"], **NUMBERS)
    agree(made, tmp_path, {"x": 3 * w(2, 3, 5)})
    assert types(made, tmp_path) == [layer]


@pytest.mark.parametrize(("nodes", "layers"), [
    ([*ERF, node("Mul", "x c", "y")], ["Power", "Erf", "Power", "Eltwise"]),  # twice a GELU
    ([*ERF, node("Mul", "x c", "d"), node("Add", "d half", "y")], ["Power", "Erf", "Power", "Eltwise", "Power"]),
    ([node("Sigmoid", "x", "s"), node("Mul", "s s", "y")], ["Sigmoid", "Eltwise"]),
    ([node("Add", "x one", "a"), node("Sigmoid", "a", "s"), node("Mul", "x s", "y")], ["Power", "Sigmoid", "Eltwise"]),
    ([node("Add", "x two", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"), node("Div", "c six", "y")],
     ["Power", "ReLU6", "Eltwise", "Power"]),
])  # fmt: skip
def test_what_is_nearly_one_stays_as_it_is(tmp_path: Path, nodes: list[Any], layers: list[str]) -> None:
    made = model(nodes, {"x": ("n", 3)}, ["y"], **NUMBERS)
    agree(made, tmp_path)
    assert types(made, tmp_path) == layers


def test_a_piece_that_is_read_elsewhere_stays_beside_the_activation(tmp_path: Path) -> None:
    made = model([node("Sigmoid", "x", "s"), node("Mul", "x s", "y"), node("Add", "s y", "z")], {"x": ("n", 3)}, ["z"])
    agree(made, tmp_path)
    assert types(made, tmp_path) == ["Sigmoid", "Swish", "Eltwise"]


def test_sums_and_factors_one_after_another_are_one(tmp_path: Path) -> None:
    nodes = [
        node("Sub", "x half", "a"),
        node("Mul", "a two", "b"),
        node("Add", "b one", "c"),
        node("Sqrt", "c", "d"),
        node("Reciprocal", "d", "y"),
    ]
    made = model(nodes, {"x": ("n", 3)}, ["y"], **NUMBERS)
    agree(made, tmp_path, {"x": np.abs(w(2, 3)) + 1})
    (part,) = imported(tmp_path / "net.onnx").draft.net
    assert part.keys == {"power": -0.5, "scale": 2.0}


@pytest.mark.parametrize("last", [True, False])
def test_a_layer_norm_that_is_spelled_out_is_one_layer(tmp_path: Path, last: bool) -> None:
    nodes = [
        node("ReduceMean", "x", "m", axes=[-1] if last else [1]), node("Sub", "x m", "d"), node("Pow", "d two", "q"),
        node("ReduceMean", "q", "v", axes=[-1] if last else [1]), node("Add", "v eps", "e"), node("Sqrt", "e", "s"), node("Div", "d s", "n"),
        node("Mul", "n g", "h"), node("Add", "h b", "y"),
    ]  # fmt: skip
    made = model(nodes, {"x": ("n", 4, 6)}, ["y"], eps=real(1e-3), g=w(6), b=w(6), **NUMBERS)
    agree(made, tmp_path)
    draft = imported(tmp_path / "net.onnx").draft
    assert ([part.type for part in draft.net] == ["LayerNorm"]) == last
    assert not last or (draft.net[0].keys["axis"], round(draft.net[0].keys["eps"], 9)) == (2, 1e-3)


# --- samples that share an axis with others ---
def attention(batch: int | str, rows: Any, back: Any, out: Any) -> Any:
    """As PyTorch writes MultiheadAttention: N x 4 heads are one axis, and then T x N rows."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]), node("MatMul", "t w", "m"), node("Add", "m qkv.bias", "a"),
        node("Split", "a", "q k v", axis=2),
        *(node(op, *words, **keys) for name in "qkv" for op, words, keys in (
            ("Reshape", (f"{name} rows", f"{name}1"), {}), ("Transpose", (f"{name}1", f"{name}2"), {"perm": [1, 0, 2]}))),
        node("Transpose", "k2", "kt", perm=[0, 2, 1]), node("MatMul", "q2 kt", "s"), node("Mul", "s half", "u"), node("Add", "u mask", "ma"),
        node("Softmax", "ma", "p", axis=-1), node("MatMul", "p v2", "o"), node("Transpose", "o", "o1", perm=[1, 0, 2]),
        node("Reshape", "o1 back", "o2"), node("Gemm", "o2 proj.weight proj.bias", "o3", transB=1), node("Reshape", "o3 out", "o4"),
        node("Transpose", "o4", "y", perm=[1, 0, 2]),
    ]  # fmt: skip
    mask = np.triu(np.full((1, 6, 6), -np.inf, np.float32), 1)
    return model(
        nodes, {"x": (batch, 6, 16)}, ["y"], w=w(16, 48), rows=rows, back=back, out=out, half=real(0.5), mask=mask,
        **{"qkv.bias": w(48), "proj.weight": w(16, 16), "proj.bias": w(16)},
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "rows", "back", "out"), [
    ("n", ints(6, -1, 4), ints(-1, 16), ints(6, -1, 16)),
    (2, ints(6, 8, 4), ints(12, 16), ints(6, 2, 16)),
    (1, ints(6, 4, 4), ints(6, 16), ints(6, 1, 16)),
])  # fmt: skip
def test_heads_and_rows_share_the_axis_of_the_batch(tmp_path: Path, batch: Any, rows: Any, back: Any, out: Any) -> None:
    made = attention(batch, rows, back, out)
    agree(made, tmp_path, {"x": w(batch if batch != "n" else 3, 6, 16)})
    draft = imported(tmp_path / "net.onnx").draft
    assert [part.name for part in draft.net if part.type == "InnerProduct"] == ["qkv", "proj"]
    frozen = [part.keys["param"] for part in draft.net if part.type == "Bias"]
    assert frozen == [{"bias": {"freeze": True}}] and all(np.isfinite(array).all() for array in draft.weights.values())


def test_rows_of_all_samples_as_an_output_are_told(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x to", "a"), node("Gemm", "a w b", "c", transB=1), node("LogSoftmax", "c", "y", axis=1)]
    made = model(nodes, {"x": ("n", 5, 4)}, ["y"], to=ints(-1, 4), w=w(3, 4), b=w(3))
    agree(made, tmp_path)
    assert imported(tmp_path / "net.onnx").draft.notes == [
        "the output 'y' is 5 x 3 a sample here; in the file its samples share an axis with others"
    ]


@pytest.mark.parametrize(("nodes", "words"), [
    ([node("Reshape", "x to", "a"), node("ReduceSum", "a zero", "y")], "ReduceSum, once .y.: works along axis 0, which has the batch"),
    ([node("Reshape", "x to", "a"), node("CumSum", "a one", "y")], r"CumSum, once .y.: reads samples that share an axis .*: 5 N x 4"),
    ([node("Reshape", "x to", "a"), node("Softmax", "a", "y", axis=0)], "Softmax, once .y.: works along axis 0, which has the batch"),
    ([node("Reshape", "x to", "a"), node("Add", "a x", "y")], "Add, once .y.: the batches of its inputs do not meet"),
    ([node("Reshape", "x to", "a"), node("Add", "a rows", "y")], "Add, once .y.: a constant of 10 x 1 has something of its own for every sample"),
    ([node("Reshape", "x to", "a"), node("Gemm", "m a", "y")], "Gemm, once .y.: a product of a constant and samples"),
])  # fmt: skip
def test_what_would_mix_them_is_refused(tmp_path: Path, nodes: list[Any], words: str) -> None:
    made = model(nodes, {"x": ("n", 5, 4)}, ["y"], to=ints(-1, 4), zero=ints(0), one=ints(1), rows=w(10, 1), m=w(2, 10))
    with pytest.raises(DataError, match=words):
        imported(saved(made, tmp_path))


# --- masks and choices ---
CHOICES = [
    ([node("Where", "m x far", "y")], ["Bias"]),
    ([node("Where", "m x c", "y")], ["Scale", "Bias"]),
    ([node("Where", "m c x", "y")], ["Scale", "Bias"]),
    ([node("Where", "m x two", "y")], ["Scale", "Bias"]),
    ([node("Neg", "x", "z"), node("Where", "m x z", "y")], ["Power", "Scale", "Scale", "Eltwise"]),
    ([node("Greater", "x half", "g"), node("Where", "g x two", "y")], ["Threshold", "Where"]),
    ([node("LessOrEqual", "x half", "g"), node("Cast", "g", "b", to=9), node("Neg", "x", "z"), node("Where", "b z x", "y")],
     ["Threshold", "Power", "Power", "Where"]),
    ([node("Less", "half x", "g"), node("Not", "g", "h"), node("Cast", "h", "y", to=1)], ["Threshold", "Power"]),
    ([node("GreaterOrEqual", "x c", "g"), node("Cast", "g", "y", to=1)], ["Bias", "Power", "Threshold", "Power"]),
    ([node("Greater", "x half", "g"), node("Less", "x two", "h"), node("And", "g h", "i"), node("Cast", "i", "y", to=1)],
     ["Threshold", "Power", "Threshold", "Eltwise"]),
    ([node("Greater", "x half", "g"), node("Xor", "g m", "i"), node("Cast", "i", "y", to=1)], ["Threshold", "Bias", "AbsVal"]),
    ([node("Greater", "x half", "g"), node("Or", "g m", "i"), node("Cast", "i", "y", to=1)], ["Threshold", "Parameter", "Eltwise"]),
    ([node("Relu", "x", "z"), node("Equal", "z zero", "g"), node("Cast", "g", "y", to=1)], ["ReLU", "AbsVal", "Threshold", "Power"]),
    ([node("Sign", "x", "y")], ["Threshold", "Power", "Threshold", "Eltwise"]),
    ([node("Trilu", "x", "y", upper=0)], ["Scale"]),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "layers"), CHOICES)
def test_what_is_compared_and_chosen(tmp_path: Path, nodes: list[Any], layers: list[str]) -> None:
    mask = np.tril(np.ones((4, 4), bool))
    made = model(nodes, {"x": ("n", 3, 4, 4)}, ["y"], m=mask, c=w(4, 4), far=real(-1e38), **NUMBERS)
    agree(made, tmp_path)
    draft = imported(tmp_path / "net.onnx").draft
    assert [part.type for part in draft.net] == layers
    for part in draft.net:  # what is no weight does not learn
        assert part.type not in ("Scale", "Bias", "Parameter") or "freeze" in str(part.keys.get("param"))


def test_numbers_that_are_not_chosen_may_be_infinite(tmp_path: Path) -> None:
    nodes = [
        node("Exp", "x", "e"),
        node("Add", "e one", "f"),
        node("Log", "f", "g"),
        node("Greater", "x two", "h"),
        node("Where", "h x g", "y"),
    ]
    agree(model(nodes, {"x": ("n", 3)}, ["y"], **NUMBERS), tmp_path, {"x": np.array([[-200.0, 1, 200]], np.float32)})


def test_a_branch_whose_condition_is_known_is_taken(tmp_path: Path) -> None:
    def branch(name: str, op: str) -> Any:
        made = helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, None)
        return helper.make_graph([node(op, "a", f"{name}.y")], name, [], [made])

    nodes = [
        node("Relu", "x", "a"), node("Shape", "x", "s"), node("Gather", "s one", "n"), node("Equal", "n three", "is"),
        helper.make_node("If", ["is"], ["y"], then_branch=branch("then", "Tanh"), else_branch=branch("else", "Sigmoid")),
    ]  # fmt: skip
    made = model(nodes, {"x": ("n", 3)}, ["y"], one=np.array(1), three=np.array(3))
    agree(made, tmp_path)
    assert types(made, tmp_path) == ["ReLU", "TanH"]


# --- matrices along an axis ---
@pytest.mark.parametrize("keys", [
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, {"mode": "cubic"},
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}, {"mode": "nearest", "nearest_mode": "ceil"},
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
])  # fmt: skip
@pytest.mark.parametrize("sizes", [(7, 10), (2, 3), (9, 5), (1, 5)])
def test_other_sizes_are_matrices_that_do_not_learn(tmp_path: Path, keys: dict[str, Any], sizes: tuple[int, int]) -> None:
    made = model(
        [node("Resize", "x e e to", "y", **keys)], {"x": (1, 2, 4, 5)}, ["y"], e=np.zeros(0, np.float32), to=ints(1, 2, *sizes)
    )
    made.graph.node[0].input[1] = made.graph.node[0].input[2] = ""
    agree(made, tmp_path)
    frozen = [
        part.keys["param"] for part in imported(tmp_path / "net.onnx").draft.net if part.type in ("InnerProduct", "Parameter")
    ]
    assert frozen and all(said == {"weight": {"freeze": True}} for said in frozen)


@pytest.mark.parametrize("nodes", [
    [node("Slice", "x start end axes back", "y")], [node("Slice", "x start two axes step", "y")], [node("Gather", "x many", "y", axis=1)],
    [node("CumSum", "x one", "y")], [node("CumSum", "x last", "y", exclusive=1, reverse=1)],
    [node("Pad", "x pads", "y", mode="wrap")],
    [node("Transpose", "x", "a", perm=[1, 2, 0]), node("GatherND", "a places", "b"), node("Transpose", "b", "y", perm=[2, 0, 1])],
])  # fmt: skip
def test_places_in_any_order_and_running_sums(tmp_path: Path, nodes: list[Any]) -> None:
    made = model(
        nodes, {"x": ("n", 12, 6)}, ["y"], opset=19, start=ints(11), end=ints(-13), axes=ints(1), back=ints(-1), two=ints(12), step=ints(5),
        many=ints(*range(11, -1, -2), 0, 0, 4, 2, 8), one=np.array(1), last=np.array(-1), pads=ints(0, 2, 1, 0, 0, 3),
        places=np.array([[[1, 2], [11, 0]], [[3, 5], [-1, 1]], [[0, 0], [0, 0]]]),
    )  # fmt: skip
    made.graph.initializer[0].int64_data[:] = []
    agree(made, tmp_path)


def test_every_other_place_is_a_column(tmp_path: Path) -> None:
    made = model(
        [node("Slice", "x one end axes two", "y")],
        {"x": ("n", 2, 200)},
        ["y"],
        one=ints(1),
        end=ints(200),
        axes=ints(2),
        two=ints(2),
    )
    agree(made, tmp_path)
    assert types(made, tmp_path) == ["Reshape", "Slice", "Reshape"]


@pytest.mark.parametrize(("equation", "shapes"), [
    ("bhid,bhjd->bhij", [(2, 5, 3), (2, 4, 3)]), ("bqhd,bkhd->bhqk", [(5, 2, 3), (4, 2, 3)]), ("nchw,ndhw->ndc", [(3, 4, 5), (2, 4, 5)]),
    ("bij->bji", [(3, 4)]), ("bij->bi", [(3, 4)]), ("bi,bj->bij", [(3,), (4,)]), ("bi,bi->b", [(3,), (3,)]), ("bi,bij->bi", [(3,), (3, 4)]),
])  # fmt: skip
def test_einsum(tmp_path: Path, equation: str, shapes: list[tuple[int, ...]]) -> None:
    names = ["x", "z"][: len(shapes)]
    made = model(
        [node("Einsum", " ".join(names), "y", equation=equation)],
        {name: ("n", *shape) for name, shape in zip(names, shapes)},
        ["y"],
    )
    agree(made, tmp_path)


@pytest.mark.parametrize(("equation", "words"), [
    ("bii->bi", "each letter at most once in each, an arrow"), ("bij->ij", "lets samples meet"), ("ib,bi->bi", "lets samples meet"),
    ("...ij->...ji", "one or two blobs"), ("bij", "an arrow"),
])  # fmt: skip
def test_what_einsum_cannot_be_here(tmp_path: Path, equation: str, words: str) -> None:
    names = "x x" if "," in equation else "x"
    shape = ("n", 3) if "," in equation else ("n", 3, 3)
    with pytest.raises(DataError, match=words):
        imported(saved(model([node("Einsum", names, "y", equation=equation)], {"x": shape}, ["y"]), tmp_path))


# --- constants that know the batch ---
def test_a_batch_that_the_file_repeats_as_a_number(tmp_path: Path) -> None:
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Unsqueeze", "n zero", "n1"), node("Concat", "n1 rest", "to", axis=0),
             node("Expand", "c to", "e"), node("Concat", "e x", "y", axis=1)]  # fmt: skip
    made = model(nodes, {"x": (2, 3, 4)}, ["y"], zero=ints(0), rest=ints(1, 4), c=np.repeat(w(1, 1, 4), 2, 0))
    made.graph.initializer[0].dims[:] = []
    agree(made, tmp_path)
    assert types(made, tmp_path) == ["Parameter", "Concat"]


def test_a_slope_that_all_channels_share(tmp_path: Path) -> None:
    made = model([node("PRelu", "x s", "y")], {"x": ("n", 3, 4)}, ["y"], s=w(1))
    agree(made, tmp_path)
    draft = imported(tmp_path / "net.onnx").draft
    assert draft.net[0].keys == {"channel_shared": True} and draft.weights["data/y/0"].shape == () and not draft.notes
