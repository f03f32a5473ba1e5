"""What a person would write shorter: biases where they belong, nothing flattened that is flattened anyway, nothing unread."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from dltrain.translate.onnx_graph import Blob, Graph, Made

BIASED = {"InnerProduct": None, "Convolution": 1, "Deconvolution": 1}  # layers with a bias, and its axis (None: their own)


def tidy(net: Graph, outputs: MutableMapping[str, Blob]) -> None:
    """Changes the graph in place; what it computes stays the same."""
    prune(net, outputs)
    for part in list(net.parts):
        if part.type == "Bias" and takes_bias(net, outputs, part):
            owner = below(part)
            assert owner is not None
            owner.keys["bias_term"] = True
            owner.params["bias"] = part.params["bias"]
            owner.roles = ["weight", "bias"]
            replace(net, outputs, part, owner.tops[0])
        if part.type == "InnerProduct" and part.keys.get("axis", 1) == 1:
            source = below(part)
            if source is not None and source.type == "Flatten":
                part.bottoms[0] = source.bottoms[0]
    prune(net, outputs)


def below(part: Made) -> Made | None:
    """The layer whose first top a layer reads first."""
    x = part.bottoms[0]
    return x.part if isinstance(x, Blob) and x.top == 0 else None


def takes_bias(net: Graph, outputs: MutableMapping[str, Blob], part: Made) -> bool:
    """True for a bias of each output of the layer below, which nobody else reads and which has none."""
    owner = below(part)
    if owner is None or owner.type not in BIASED or owner.keys.get("bias_term", True):
        return False
    if len(list(readers(net, outputs, owner))) > 1:
        return False
    axis = BIASED[owner.type] or owner.keys.get("axis", 1)
    return bool(part.keys["axis"] == axis and part.params["bias"].shape == (owner.keys["num_output"],))


def readers(net: Graph, outputs: MutableMapping[str, Blob], part: Made) -> Iterator[object]:
    """Every reading of a layer's tops."""
    for other in net.parts:
        yield from (x for x in other.bottoms if isinstance(x, Blob) and x.part is part)
    yield from (x for x in outputs.values() if x.part is part)


def replace(net: Graph, outputs: MutableMapping[str, Blob], part: Made, blob: Blob) -> None:
    """What read the layer reads the blob."""
    for other in net.parts:
        other.bottoms = [blob if isinstance(x, Blob) and x.part is part else x for x in other.bottoms]
    for name, x in outputs.items():
        if x.part is part:
            outputs[name] = Blob(blob.shape, x.batch, blob.part, blob.top, beside=x.beside)


def prune(net: Graph, outputs: MutableMapping[str, Blob]) -> None:
    """Leaves only what the outputs need."""
    waiting = [x.part for x in outputs.values()]
    found: set[int] = set()
    while waiting:
        part = waiting.pop()
        if part is not None and id(part) not in found:
            found.add(id(part))
            waiting += [x.part for x in part.bottoms if isinstance(x, Blob)]
    net.parts = [part for part in net.parts if id(part) in found]
