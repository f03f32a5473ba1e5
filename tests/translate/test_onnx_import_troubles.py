"""dltrain import onnx tells each cause once: what follows from a constant or a blob that is missing is not told as another."""

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

RNG = np.random.default_rng(13)


def w(*sizes: int) -> Any:
    return RNG.standard_normal(sizes).astype(np.float32)


def branch(name: str) -> Any:
    made = helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, None)
    return helper.make_graph([node("Relu", "x", f"{name}.y")], name, [], [made])


@pytest.mark.parametrize(("nodes", "rows"), [
    ([node("Atan", "c", "d"), node("Floor", "d", "e"), node("Add", "x e", "y")], ["Atan, once (d): there is no such layer"]),
    ([node("Atan", "c", "d"), node("Cast", "d", "t", to=9), node("NonZero", "t", "e"), node("Reshape", "x e", "y")],
     ["Atan, once (d): there is no such layer"]),
    ([node("Det", "x", "d"), node("Shape", "d", "s"), node("Floor", "s", "e"), node("Reshape", "x e", "y")],
     ["Det, once (d): there is no such layer"]),
    ([node("Det", "x", "d"), node("Floor", "d", "e"), node("Relu", "e", "y")],
     ["Det, once (d): there is no such layer", "Floor, once (e): there is no such layer"]),
    ([node("Atan", "c", "d"), node("Floor", "d", "e"), node("Add", "x e", "f"), node("Floor", "f", "y")],
     ["Atan, once (d): there is no such layer", "Floor, once (y): there is no such layer"]),
    ([node("Atan", "c", "d"), node("Cast", "d", "t", to=9),
      helper.make_node("If", ["t"], ["z"], then_branch=branch("then"), else_branch=branch("else")), node("Add", "x z", "y")],
     ["Atan, once (d): there is no such layer"]),
    ([node("Dropout", "c", "d"), node("Add", "x d", "y")], ["Dropout, once (d): of constants alone, and not worked out"]),
])  # fmt: skip
def test_what_follows_from_what_is_missing_is_not_told_again(tmp_path: Path, nodes: list[Any], rows: list[str]) -> None:
    path = saved(model(nodes, {"x": ("n", 3, 3)}, ["y"], c=w(3)), tmp_path)
    with pytest.raises(DataError) as caught:
        imported(path)
    assert [row.strip() for row in str(caught.value).splitlines()[1:]] == rows


def test_weights_that_are_scaled_by_their_length_are_worked_out(tmp_path: Path) -> None:
    nodes = [
        node("ReduceL2", "v axes", "l"), node("Div", "v l", "u"), node("Mul", "u g", "w"), node("ReduceSumSquare", "v axes", "q"),
        node("ReduceL1", "q", "p", noop_with_empty_axes=1), node("Squeeze", "p", "b"), node("Gemm", "x w b", "z", transB=1),
        node("Softmax", "c", "s"), node("Mul", "z s", "y"),
    ]  # fmt: skip
    made = model(nodes, {"x": ("n", 4)}, ["y"], opset=18, v=w(3, 4), g=w(3, 1), c=w(3), axes=np.array([1]))
    agree(made, tmp_path)
    assert [part.type for part in imported(tmp_path / "net.onnx").draft.net] == ["InnerProduct", "Scale"]


@pytest.mark.parametrize("axis", [0, 1])
def test_before_opset_13_a_softmax_of_constants_goes_over_the_axes_that_follow(tmp_path: Path, axis: int) -> None:
    nodes = [node("Softmax", "c", "s", axis=axis), node("Mul", "x s", "y")]
    agree(model(nodes, {"x": ("n", 2, 3)}, ["y"], opset=11, c=w(2, 3)), tmp_path)


def test_a_first_state_that_is_constant_goes_through_its_product(tmp_path: Path) -> None:
    """As a cell begins, whose state is nothing."""
    nodes = [
        node("Gemm", "h u c", "s", transA=1, transB=1, alpha=0.5, beta=2.0),
        node("Gemm", "x w", "i"),
        node("Add", "i s", "y"),
    ]
    made = model(nodes, {"x": ("n", 4)}, ["y"], h=w(5, 1), u=w(3, 5), c=w(3), w=w(4, 3))
    agree(made, tmp_path)
    assert [part.type for part in imported(tmp_path / "net.onnx").draft.net] == ["InnerProduct"]


# --- where the batch is ---
def meeting(first: int | str) -> Any:
    """Attention over the first axis, as PyTorch has it unless batch_first."""
    nodes = [
        node("Transpose", "x", "q", perm=[1, 0, 2]), node("Transpose", "x", "k", perm=[1, 2, 0]), node("MatMul", "q k", "s"),
        node("Softmax", "s", "p", axis=-1), node("MatMul", "p q", "o"), node("Transpose", "o", "y", perm=[1, 0, 2]),
    ]  # fmt: skip
    return model(nodes, {"x": (first, 2, 6)}, ["y"])


def test_where_nothing_says_the_batch_it_is_the_axis_on_which_samples_do_not_meet(tmp_path: Path) -> None:
    agree(meeting(5), tmp_path)
    made = imported(tmp_path / "net.onnx")
    assert made.inputs == {"x": ("x", 1)} and made.draft.data["source"]["shapes"] == {"x": [5, 6]}
    words = "nothing says where the batch is: on the first axis the net cannot be said, so it is the second"
    assert made.draft.notes == [words]


@pytest.mark.parametrize("name", ["batch", "frames"])  # the second is no size that a sample could have
def test_a_first_axis_that_has_a_name_stays_the_batch(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        DataError, match="MatMul, once .s.: a product of .* whose batch is not one of the axes before their matrices"
    ):
        imported(saved(meeting(name), tmp_path))
    assert "the second" not in str(
        imported(saved(model([node("Relu", "x", "y")], {"x": (5, 2, 6)}, ["y"]), tmp_path)).draft.notes
    )
