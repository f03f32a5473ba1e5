"""The cases of the ONNX standard through the import: what is taken agrees, all else is refused with a reason; nothing is wrong."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.errors import DataError
from tests.translate.onnx_runs import as_in_file, ours

onnx = pytest.importorskip("onnx", reason="onnx is not there: pip install onnx")

from dltrain.translate.onnx_formulas import NODES  # noqa: E402
from dltrain.translate.onnx_import import imported  # noqa: E402

OTHERWISE = {  # said in a note of the report
    "among equals": "argmax_no_keepdims_example argmax_keepdims_example argmax_negative_axis_keepdims_example top_k_same_values_2d",
    "drops always": "training_dropout_default training_dropout_default_mask training_dropout training_dropout_mask",
}
FROM_BEHIND = ("gather_negative_indices", "onehot_negative_indices", "onehot_out_of_range_indices")  # refused when they are met
NOTED = {name: words for words, names in OTHERWISE.items() for name in names.split()}
EACH = {"MaxPool": 30, "AveragePool": 30, "Conv": 9, "ConvTranspose": 12, "Resize": 40, "Pad": 9, "Reshape": 12}  # cases; else 5
LEAST = {"MaxPool": 9, "AveragePool": 12, "Conv": 5, "ConvTranspose": 8, "LSTM": 2, "Resize": 4, "Reshape": 4, "ReduceMean": 2}


def cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = collect_testcases(None)
    made: dict[str, Any] = {}
    count: Counter[str] = Counter()
    for case in given:
        op = case.model.graph.node[0].op_type
        odd = any(word in case.name for word in ("_expanded", "cast", "bfloat16", "int8", "int16", "int32", "int64"))
        if op in NODES and len(case.model.graph.node) == 1 and not odd and count[op] < EACH.get(op, 5):
            made[case.name.removeprefix("test_")] = case
            count[op] += 1
    return made


def weighted(case: Any, path: Path) -> dict[str, Any]:
    """The model with all inputs but the first as weights; returns what it is fed."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    names = [value.name for value in model.graph.input]
    values = dict(zip(names, [np.asarray(array) for array in case.data_sets[0][0]], strict=True))
    for name in names[1:]:
        model.graph.initializer.append(onnx.numpy_helper.from_array(values[name], name))
    path.write_bytes(model.SerializeToString())
    return {name: values[name] for name in names[:1]}


def test_every_case_agrees_or_is_refused(tmp_path: Path) -> None:
    passed: list[str] = []
    for name, case in cases().items():
        path = tmp_path / "net.onnx"
        feeds = weighted(case, path)
        try:
            made = imported(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: "), name
            continue
        if name in FROM_BEHIND:
            with pytest.raises(DataError, match="of the batch is outside 0 .. "):
                ours(path, feeds)
            continue
        if name in NOTED:
            assert any(NOTED[name] in note for note in made.draft.notes), name
            continue
        expected = dict(zip([output.name for output in case.model.graph.output], case.data_sets[0][1]))
        found = ours(path, feeds)
        for output, array in found.items():
            theirs = np.asarray(expected[output], np.float64)
            tolerance = 2e-3 if np.asarray(expected[output]).dtype == np.float16 else 1e-4
            array = as_in_file(array, theirs.shape)
            assert array.shape == theirs.shape, name
            np.testing.assert_allclose(array, theirs, rtol=tolerance, atol=tolerance, err_msg=name)
        passed.append(case.model.graph.node[0].op_type)
    assert len(passed) > 180 and len(set(passed)) > 60
    assert not [(op, passed.count(op)) for op, least in LEAST.items() if passed.count(op) < least]
