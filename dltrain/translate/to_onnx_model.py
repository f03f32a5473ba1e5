"""Two traces of a graph become a checked ONNX model, or the list of the layers that ONNX cannot say."""

from __future__ import annotations

from typing import Any

import dltrain.translate.to_onnx_formulas
import dltrain.translate.to_onnx_norms
import dltrain.translate.to_onnx_recurrent
import dltrain.translate.to_onnx_values
import dltrain.translate.to_onnx_windows  # noqa: F401  each registers what it can say
from dltrain import __version__
from dltrain.errors import CheckFailed, ConfigError
from dltrain.graph import Graph
from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Sheet, need_onnx

OPSETS = range(17, 22)
OPSET = 17  # LayerNormalization is in it, nothing newer is needed, and whatever reads ONNX today reads it
MOST = 2**31 - 2**20  # bytes of one file of Protocol Buffers


def write(
    graph: Graph, other: Graph, arrays: dict[Tensor, Any], outputs: tuple[str, ...], opset: int = OPSET, name: str = "net"
) -> tuple[Any, Sheet]:
    """The model, whose outputs are the blobs of these names, and the sheet that it was written on."""
    sheet = Sheet(graph, other, arrays, opset)
    wrong = sheet.write()
    if wrong:
        each = "; ".join(f"layer '{layer}' ({graph.layers[layer].type}): {why}" for layer, why in wrong.items())
        raise ConfigError(f"{name}: ONNX cannot say all of this net: {each}; export what is before it with --blob NAME")
    for blob in outputs:
        tensor = graph.blobs[blob].data
        if tensor in sheet.arrays:
            sheet.call = sheet.makers[tensor]
            sheet.node("Identity", [sheet.constant(f"{blob}/value", sheet.arrays[tensor])], tensor)
    sheet.outputs = {blob: sheet.typed(graph.blobs[blob].data) for blob in outputs} | sheet.outputs
    return assemble(sheet, name), sheet


def assemble(sheet: Sheet, name: str) -> Any:
    onnx = need_onnx()
    helper = onnx.helper
    used = {value for node in everything(sheet.nodes) for value in node.input}
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in sheet.constants.items() if name in used]
    infos = [
        [helper.make_tensor_value_info(name, kind, sizes) for name, (kind, sizes) in values.items()]
        for values in (sheet.inputs, sheet.outputs)
    ]
    graph = helper.make_graph(sheet.nodes, name, *infos, weights)
    opsets = [helper.make_opsetid("", sheet.opset)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="dltrain", producer_version=__version__)
    model.ir_version = helper.find_min_ir_version_for(opsets)
    return model


def everything(nodes: list[Any]) -> list[Any]:
    """Nodes, and those in their bodies."""
    found = []
    for node in nodes:
        found.append(node)
        for attribute in node.attribute:
            found += everything(list(attribute.g.node))
    return found


def check(model: Any) -> None:
    """The standard's own checker, types and shapes included."""
    onnx = need_onnx()
    if model.ByteSize() > MOST:
        raise ConfigError(f"{model.graph.name}: is {model.ByteSize() / 2**30:.1f} GiB, and a file of ONNX holds 2; export a part "
                          "of it with --blob NAME")  # fmt: skip
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"{model.graph.name}: the model that was made is not valid: {str(error).strip()}") from None
