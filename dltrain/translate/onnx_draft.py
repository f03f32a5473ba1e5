"""From a graph to a draft: layers get names that a person can read, weights their places in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import fields as fields_of
from typing import Any

from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.translate.draft import Draft, Part
from dltrain.translate.names import readable, unique
from dltrain.translate.onnx_graph import Blob, Graph, Made, made_layer

BIAS = re.compile(r"^(.+)[._/](bias|beta|b|bias_ih_l0)(_0)?(:0)?$", re.IGNORECASE)
WEIGHT = re.compile(r"^(.+?)[._/](weight|kernel|w|gamma|scale|slope|weight_ih_l0)(_0)?(:0)?$", re.IGNORECASE)
NUMBERED = re.compile(r"^(.+)_[0-9]+$")
LEARNT = ("Conv", "ConvTranspose", "Gemm", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "PRelu", "MatMul")
# operators that are mostly modules, which have a name of their own
PLACED = (*LEARNT, "GroupNormalization", "LSTM", "GRU", "RNN", "MaxPool", "AveragePool", "GlobalAveragePool", "Dropout", "Relu",
          "LeakyRelu", "Sigmoid", "Tanh", "Softmax", "Elu", "HardSwish", "Clip", "Gelu")  # fmt: skip
UNKNOWN = 2**31 - 1  # classes of a field that nobody counts


def drafted(net: Graph, fields: Mapping[str, Blob], outputs: MutableMapping[str, Blob]) -> Draft:
    """The draft without its name and notes."""
    copy_out(net, outputs)
    name_all(net.parts, {blob.name for blob in fields.values()})
    draft = Draft("net")
    read = {x.name: x for part in net.parts for x in part.bottoms if isinstance(x, Blob) and x.part is None}
    shapes = {blob.name: list(blob.shape[1:]) for blob in fields.values() if blob.name in read}
    classes = {name: net.classes.get(name, UNKNOWN) for name, blob in read.items() if blob.shape.dtype == "index"}
    draft.data = {"source": {"type": "blank", "shapes": shapes, **({"classes": classes} if classes else {})}}
    if net.fixed is not None and net.fixed > 1:
        draft.data["batch_size"] = net.fixed
    for part in net.parts:
        bottoms: list[Any] = [spoken(x) for x in part.bottoms]
        while bottoms and bottoms[-1] == "":
            bottoms.pop()
        keys = {field.name: part.keys[field.name] for field in fields_of(LAYERS[part.type]) if field.name in part.keys}
        draft.net.append(Part(part.name, part.type, {**keys, **part.line}, bottoms, note(part)))
        place = part.name.replace("/", "%2F")
        draft.weights |= {f"data/{place}/{number}": part.params[role] for number, role in enumerate(part.roles)}
        draft.weights |= {f"states/{place}.{role}": array for role, array in part.states.items()}
    return draft


def spoken(x: Blob | float | None) -> Any:
    """The name of a blob; of a further top NAME.ROLE."""
    if not isinstance(x, Blob):
        return "" if x is None else x
    if x.part is None:
        return x.name
    roles = made_layer(x.part.type, x.part.keys).top_roles(len(x.part.bottoms)) if x.top else ()
    return f"{x.part.name}.{roles[x.top - 1]}" if x.top else x.part.name


def note(part: Made) -> str:
    """The shape of a sample, where it is not that of the bottom."""
    first = next((x for x in part.bottoms if isinstance(x, Blob)), None)
    shape = part.tops[0].shape[1:]
    return str(Shape(shape)) if first is not None and shape and shape != first.shape[1:] else ""


def copy_out(net: Graph, outputs: MutableMapping[str, Blob]) -> None:
    """An output that another layer reads, or that is no first top, would be no end of the net: a copy is."""
    read = {id(x.part) for part in net.parts for x in part.bottoms if isinstance(x, Blob)}
    net.node = None
    for name, x in list(outputs.items()):
        if x.part is None or x.top or id(x.part) in read:
            outputs[name] = net("Split", x, tops=1)
            net.parts[-1].name = readable(name, "output")


# --- names ---
def name_all(parts: list[Made], taken: Iterable[str]) -> None:
    """Every layer gets the name of its node; of several layers of one node the last, and the others one with their type."""
    used = set(taken)
    last = {id(part.node): part for part in parts if part.node is not None}
    shared = common({id(part.node): part.node for part in parts if part.node is not None}.values())
    for part in parts:
        base = part.name or stem(part, shared)
        if part.node is not None and last[id(part.node)] is not part:
            base = f"{base}_{part.type.lower()}"
        part.name = unique(base, used)
        used.add(part.name)


def stem(part: Made, shared: int) -> str:
    """The module that a node belongs to, as far as names tell; else its output, else its operator."""
    node = part.node
    if node.op_type in LEARNT and len(node.input) > 1 and (match := WEIGHT.match(node.input[1])) and "::" not in match[1]:
        return readable(match[1])
    for name in part.added.input if part.added is not None else ():
        if (match := BIAS.match(name)) and "::" not in match[1]:
            return readable(match[1])
    steps = path(node)[min(shared, len(path(node)) - 1) :] if node.name else []
    if steps:
        while len(steps) > 1 and steps[-1][:1].isupper():
            steps = steps[:-1]
        made = readable("_".join(step for step, after in zip(steps, [*steps[1:], ""]) if not after.startswith(f"{step}.")))
        plain = re.sub(r"[^a-z0-9]", "", made.lower())
        if part.whole and len(steps) == 1 and steps[0][:1].isupper():
            return part.type.lower()
        if node.op_type not in PLACED and not part.whole and node.op_type.lower() not in plain and path(node)[-1][:1].isupper():
            made = f"{made}_{node.op_type.lower()}"
        return made.lower() if len(steps) == 1 and steps[0][:1].isupper() else made
    made = readable(node.output[0], "")
    if not made or made.isdigit():
        return node.op_type.lower()  # type: ignore[no-any-return]
    own, above = NUMBERED.match(node.output[0]), NUMBERED.match(node.input[0]) if node.input else None
    if own and above and own[1] == above[1]:  # conv1_2 of conv1_1, as Caffe2 counts what happens to a blob
        return readable(f"{own[1]}_{node.op_type.lower()}")
    return readable(own[1]) if own else made


def path(node: Any) -> list[str]:
    """/layer1/layer1.0/conv1/Conv as its steps; node_gelu, as PyTorch's newer exporter has it, as gelu."""
    return [step for step in re.split(r"[/:]+", node.name.removeprefix("node_")) if step]


def common(nodes: Iterable[Any]) -> int:
    """How many first steps all nodes with a path share."""
    paths = [path(node)[:-1] for node in nodes if len(path(node)) > 1]
    shared = 0
    while paths and all(len(steps) > shared for steps in paths) and len({steps[shared] for steps in paths}) == 1:
        shared += 1
    return shared
