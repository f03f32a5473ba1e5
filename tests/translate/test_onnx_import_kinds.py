"""Inputs of whole numbers: real where they count, whole as places in a table; what would cut or go around is refused."""

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
from tests.translate.onnx_runs import agree, model, node, saved  # noqa: E402

RNG = np.random.default_rng(11)
WORDS = np.array([[0, 1, 2, 3], [5, 1, 1, 6]])


def whole(nodes: list[Any], kind: int = TensorProto.INT64) -> Any:
    """A net that reads whole numbers x, N x 4."""
    every: dict[str, Any] = {
        "table": RNG.standard_normal((7, 5)).astype(np.float32), "axis": np.array([1]), "zero": np.array([0]),
        "two": np.array(2), "half": np.array(0.5, np.float32), "mix": np.array([[1, 2], [0, 1], [3, 1], [1, 1]]),
        "small": np.array(2, np.uint8),
    }  # fmt: skip
    held = {name: array for name, array in every.items() if any(name in one.input for one in nodes)}
    return model(nodes, {"x": ("n", 4)}, ["y"], kind=kind, **held)


def to_real(name: str = "a") -> Any:
    return node("Cast", name, "y", to=TensorProto.FLOAT)


@pytest.mark.parametrize("nodes", [
    [node("Unsqueeze", "x axis", "a"), node("Cast", "a", "b", to=1), node("Sub", "half b", "y")],
    [node("Slice", "x zero axis axis", "b"), node("Concat", "b b", "a", axis=1), to_real()],
    [node("Cast", "x", "a", to=TensorProto.INT32), to_real()], [node("CastLike", "x half", "y")],
    [node("Mul", "x two", "a"), to_real()], [node("Sub", "two x", "a"), to_real()], [node("Pow", "x two", "a"), to_real()],
    [node("ReduceSum", "x axis", "a"), to_real()], [node("MatMul", "x mix", "a"), to_real()],
    [node("Equal", "x two", "a"), to_real()], [node("Greater", "x two", "e"), node("Where", "e two x", "a"), to_real()],
    [node("Cast", "x", "b", to=TensorProto.BOOL), node("Not", "b", "a"), to_real()],
], ids=lambda nodes: "-".join(one.op_type for one in nodes))  # fmt: skip
def test_whole_numbers_that_count_are_real(tmp_path: Path, nodes: list[Any]) -> None:
    agree(whole(nodes), tmp_path, {"x": WORDS})
    assert "classes" not in imported(tmp_path / "net.onnx").draft.data["source"]


@pytest.mark.parametrize("nodes", [
    [node("Gather", "table x", "y")], [node("Unsqueeze", "x axis", "a"), node("Gather", "table a", "y")],
    [node("Slice", "x zero axis axis", "a"), node("Gather", "table a", "y")],
], ids=lambda nodes: "-".join(one.op_type for one in nodes))  # fmt: skip
def test_places_in_a_table_stay_whole_however_they_are_moved(tmp_path: Path, nodes: list[Any]) -> None:
    agree(whole(nodes), tmp_path, {"x": WORDS})
    assert "classes" in imported(tmp_path / "net.onnx").draft.data["source"]
    assert "Embed" in [part.type for part in imported(tmp_path / "net.onnx").draft.net]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("op", "inputs"), [("Equal", "x two"), ("Greater", "x two"), ("Less", "x two"), ("LessOrEqual", "two x")]
)
def test_words_that_are_compared_as_well_are_looked_up(tmp_path: Path, op: str, inputs: str, first: bool) -> None:
    """As what pads a sentence is found, before its words are looked up or behind."""
    mask = [node(op, inputs, "e"), node("Not", "e", "k"), node("Unsqueeze", "k last", "u"), node("Cast", "u", "m", to=1)]
    nodes = [*mask, node("Gather", "table x", "v")] if first else [node("Gather", "table x", "v"), *mask]
    made = whole([*nodes, node("Mul", "v m", "y")])
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "last"))
    agree(made, tmp_path, {"x": WORDS})
    frozen = [part for part in imported(tmp_path / "net.onnx").draft.net if part.type == "Embed" and "param" in part.keys]
    assert [part.keys["param"] for part in frozen] == [{"weight": {"freeze": True}}]


@pytest.mark.parametrize(("nodes", "words"), [
    ([node("Div", "x two", "a"), to_real()], "Div, once .a.: of whole numbers, of which the file cuts the fractions off"),
    ([node("Add", "x two", "b"), node("Div", "b two", "a"), to_real()], "Div, once .a.: of whole numbers, of which"),
    ([node("Cast", "x", "b", to=1), node("Cast", "x", "c", to=7), node("Div", "c two", "a"), to_real()], "Div, once .a.: of"),
    ([node("Greater", "x two", "g"), node("Where", "g two x", "b"), node("Div", "b two", "a"), to_real()], "Div, once .a.: of"),
    ([node("ReduceMean", "x", "a", axes=[1]), to_real()], "ReduceMean, once .a.: of whole numbers, of which the file cuts"),
    ([node("Pow", "x half", "a"), to_real()], "Pow, once .a.: of whole numbers, of which the file cuts"),
    ([node("Cast", "x", "a", to=TensorProto.UINT8), to_real()], "Cast, once .a.: to whole numbers of 8 or 16 bits, of which"),
    ([node("Cast", "x", "f", to=1), node("Tanh", "f", "t"), node("Cast", "t", "a", to=7), to_real()], "Cast, once .a.: real num"),
    ([node("Gather", "table x", "e"), to_real("x")], "Cast, once .y.: whole numbers to real ones"),
    ([node("Add", "x two", "a"), node("Gather", "table a", "y")], "Embed needs integers 0 .. 6, not the real numbers of N x 4"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_real_numbers_would_not_do_is_refused(tmp_path: Path, nodes: list[Any], words: str) -> None:
    made = whole(nodes)
    if nodes[0].op_type == "Gather":
        made.graph.output.append(helper.make_tensor_value_info("e", TensorProto.FLOAT, None))
    with pytest.raises(DataError, match=words):
        imported(saved(made, tmp_path))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_bytes_go_around_in_the_file_and_become_real_before_that(tmp_path: Path, op: str) -> None:
    made = whole([node(op, "x small", "a"), to_real()], TensorProto.UINT8)
    with pytest.raises(DataError, match=f"{op}, once .a.: of whole numbers of 8 or 16 bits, which go around"):
        imported(saved(made, tmp_path))
    pixels = whole([node("Cast", "x", "a", to=1), node(op, "a half", "y")], TensorProto.UINT8)
    agree(pixels, tmp_path, {"x": np.array([[0, 1, 2, 255]], np.uint8)})


@pytest.mark.parametrize("nodes", [
    [to_real("x")], [node("Not", "x", "a"), to_real()], [node("Where", "x half two_real", "b"), node("Neg", "b", "y")],
    [node("Unsqueeze", "x axis", "u"), node("Or", "u u", "o"), node("Cast", "o", "a", to=7), node("ReduceSum", "a axis", "b"),
     to_real("b")],
], ids=lambda nodes: "-".join(one.op_type for one in nodes))  # fmt: skip
def test_a_mask_that_is_true_or_false_is_ones_and_zeros(tmp_path: Path, nodes: list[Any]) -> None:
    made = whole(nodes, TensorProto.BOOL)
    if nodes[0].op_type == "Where":
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.full((1, 4), 3, np.float32), "two_real"))
    agree(made, tmp_path, {"x": WORDS % 2 == 1})
    assert imported(tmp_path / "net.onnx").draft.notes == ["the input 'x' is true or false in the file: give it 1 or 0"]
