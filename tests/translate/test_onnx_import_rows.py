"""Operators over samples that share an axis with others: imported, they give what onnxruntime gives, or the axis is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not there: pip install onnx")
pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

from onnx import TensorProto  # noqa: E402

from dltrain.errors import DataError  # noqa: E402
from dltrain.translate.onnx_import import imported  # noqa: E402
from tests.translate.onnx_runs import agree, ints, model, node, saved  # noqa: E402

RNG = np.random.default_rng(5)


def w(*sizes: int) -> Any:
    return RNG.standard_normal(sizes).astype(np.float32)


def held(nodes: list[Any]) -> dict[str, Any]:
    """The constants that the nodes read."""
    every = {
        "to": ints(-1, 4, 6), "one": ints(1), "two": ints(2), "zero": ints(0), "back": ints(-1), "none": ints(),
        "many": ints(2, 0, 1), "middle": np.array(1), "pieces": ints(1, 3), "row": w(6), "table": w(4, 6),
    }  # fmt: skip
    return {name: array for name, array in every.items() if any(name in one.input for one in nodes)}


SWAP = node("Transpose", "a", "b", perm=[1, 0, 2])
TURN = node("Transpose", "a", "b", perm=[2, 1, 0])
SAID = [
    [node("Slice", "a one two back", "y")],
    [node("Slice", "a back zero back back", "y")],
    [TURN, node("Slice", "b one two zero", "y")],
    [node("ReduceMean", "a", "y", axes=[-1])],
    [node("ReduceMean", "a", "y", axes=[1], keepdims=0)],
    [TURN, node("ReduceMean", "b", "y", axes=[0], keepdims=0)],
    [node("ReduceMax", "a", "y", axes=[1, 2])],
    [node("ReduceMin", "a", "y", axes=[1], keepdims=0)],
    [node("ReduceL2", "a", "y", axes=[2])],
    [node("ReduceLogSumExp", "a", "y", axes=[2])],
    [node("ReduceSum", "a back", "y")],
    [node("ReduceSum", "a", "b", noop_with_empty_axes=1), node("Relu", "b", "y")],
    [node("ReduceSum", "a none", "b", noop_with_empty_axes=1), node("Relu", "b", "y")],
    [node("Gather", "a many", "y", axis=1)],
    [node("Gather", "a middle", "y", axis=-1)],
    [SWAP, node("Gather", "b many", "y", axis=0)],
    [SWAP, node("Gather", "b middle", "y", axis=0)],
    [node("Split", "a pieces", "b y", axis=1)],
    [node("Relu", "a", "b"), node("Concat", "a b", "y", axis=1)],
    [SWAP, node("Relu", "b", "c"), node("Concat", "b c", "y", axis=0)],
    [SWAP, node("Softmax", "b", "y", axis=0)],
    [node("LayerNormalization", "a table", "y", axis=1)],
    [node("LayerNormalization", "a row", "y")],
    [node("Unsqueeze", "a one", "b"), node("ReduceMean", "b", "y", axes=[1])],
]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("nodes", SAID, ids=lambda nodes: "-".join(one.op_type for one in nodes))
def test_what_works_on_another_axis_is_said_of_the_axes_apart(tmp_path: Path, nodes: list[Any], before: bool) -> None:
    """N b rows of a sample, or a N b."""
    begin = [node("Transpose", "x", "x0", perm=[1, 0, 2, 3, 4])] if before else []
    nodes = [*begin, node("Reshape", "x0 to" if before else "x to", "a"), *nodes]
    sizes = ("n", 5, 2, 4, 6) if before else ("n", 5, 4, 6)
    agree(model(nodes, {"x": sizes}, ["y"], **held(nodes)), tmp_path)
    assert any("share an axis with others" in note for note in imported(tmp_path / "net.onnx").draft.notes)


@pytest.mark.parametrize("nodes", [
    [node("Slice", "a", "y", starts=[1], ends=[3], axes=[1])], [node("Softmax", "a", "y")], [node("Softmax", "a", "y", axis=-1)],
    [node("ReduceSum", "a", "y", axes=[-1])],
], ids=["Slice", "Softmax of all", "Softmax", "ReduceSum"])  # fmt: skip
def test_old_files_say_their_axes_in_attributes(tmp_path: Path, nodes: list[Any]) -> None:
    nodes = [node("Reshape", "x to", "a"), *nodes]
    agree(model(nodes, {"x": ("n", 5, 4, 6)}, ["y"], opset=9, **held(nodes)), tmp_path)


@pytest.mark.parametrize(("nodes", "words"), [
    ([node("Slice", "a zero one zero", "y")], "works along axis 0, which has the batch"),
    ([node("ReduceSum", "a", "y")], "works along axis 0, which has the batch"),
    ([node("Concat", "a a", "y", axis=-3)], "works along axis -3, which has the batch"),
    ([node("Gather", "a many", "y", axis=5)], "axis 5 of a tensor with 3 axes"),
    ([node("LayerNormalization", "a table", "y", axis=0)], "from axis 0 on, the batch among them"),
    ([node("TopK", "a one", "y i", axis=2)], "reads samples that share an axis with others: 5 N x 4 x 6"),
], ids=lambda value: value if isinstance(value, str) else value[0].op_type)  # fmt: skip
def test_what_lets_samples_meet_is_refused(tmp_path: Path, nodes: list[Any], words: str) -> None:
    nodes = [node("Reshape", "x to", "a"), *nodes]
    with pytest.raises(DataError, match=rf"{nodes[-1].op_type}, once .y.: {words}"):
        imported(saved(model(nodes, {"x": ("n", 5, 4, 6)}, ["y"], **held(nodes)), tmp_path))


def test_before_opset_13_a_softmax_over_the_batch_is_refused(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x to", "a"), node("Softmax", "a", "y", axis=0)]
    with pytest.raises(DataError, match="Softmax, once .y.: from axis 0 on, the batch among them"):
        imported(saved(model(nodes, {"x": ("n", 5, 4, 6)}, ["y"], opset=12, **held(nodes)), tmp_path))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_constant_for_each_head_goes_with_every_sample(tmp_path: Path, batch: int) -> None:
    nodes = [node("Reshape", "x to", "a"), node("Add", "a heads", "y")]
    heads = np.tile(w(5, 1, 1), (batch, 1, 1))
    agree(model(nodes, {"x": (batch, 5, 4, 6)}, ["y"], to=ints(5 * batch, 4, 6), heads=heads), tmp_path)
    (part,) = [part for part in imported(tmp_path / "net.onnx").draft.net if part.type == "Bias"]
    assert part.keys["axis"] == 1


def test_a_constant_for_each_sample_is_refused(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x to", "a"), node("Add", "a heads", "y")]
    made = model(nodes, {"x": (2, 5, 4, 6)}, ["y"], to=ints(10, 4, 6), heads=w(10, 1, 1))
    with pytest.raises(DataError, match="a constant of 10 x 1 x 1 has something of its own for every sample"):
        imported(saved(made, tmp_path))
    made = model(nodes, {"x": (2, 5, 4, 6)}, ["y"], to=ints(10, 4, 6), heads=w(3, 1, 1))
    with pytest.raises(DataError, match="a constant of 3 x 1 x 1 beside samples that share an axis: 5 N x 4 x 6"):
        imported(saved(made, tmp_path))


def test_rows_of_words_are_looked_up(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x rows", "a"), node("Gather", "words a", "b"), node("Relu", "b", "y")]
    made = model(nodes, {"x": ("n", 4)}, ["y"], kind=TensorProto.INT64, rows=ints(-1), words=w(7, 5))
    agree(made, tmp_path, {"x": ints(0, 1, 2, 3, 5, 1, 1, 6).reshape(2, 4)})
