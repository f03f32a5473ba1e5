"""What a person would write shorter: biases where they belong, nothing flattened that is flattened anyway, nothing unread."""

from __future__ import annotations

from collections.abc import MutableMapping

from dltrain.translate.onnx_graph import Blob, Graph, Made

BIASED = {"InnerProduct": None, "Convolution": 1, "Deconvolution": 1}  # layers with a bias, and its axis (None: their own)


class Readers:
    """Who reads each layer: bottoms of others by their place, and outputs by their names."""

    def __init__(self, net: Graph, outputs: MutableMapping[str, Blob]) -> None:
        self.outputs = outputs
        self.bottoms: dict[int, list[tuple[Made, int]]] = {}
        self.names: dict[int, list[str]] = {}
        for part in net.parts:
            for place, x in enumerate(part.bottoms):
                if isinstance(x, Blob):
                    self.bottoms.setdefault(id(x.part), []).append((part, place))
        for name, x in outputs.items():
            self.names.setdefault(id(x.part), []).append(name)

    def count(self, part: Made) -> int:
        return len(self.bottoms.get(id(part), ())) + len(self.names.get(id(part), ()))

    def move(self, part: Made, owner: Made) -> None:
        """What read one layer, the only reader of another, reads that other."""
        blob, key = owner.tops[0], id(part)
        for other, place in self.bottoms.get(key, ()):
            other.bottoms[place] = blob
        for name in self.names.get(key, ()):
            x = self.outputs[name]
            self.outputs[name] = Blob(blob.shape, x.batch, blob.part, blob.top, beside=x.beside)
        self.bottoms[id(owner)], self.names[id(owner)] = self.bottoms.pop(key, []), self.names.pop(key, [])


def tidy(net: Graph, outputs: MutableMapping[str, Blob]) -> None:
    """Changes the graph in place; what it computes stays the same."""
    prune(net, outputs)
    readers = Readers(net, outputs)
    for part in net.parts:
        owner = below(part)
        if part.type == "Bias" and owner is not None and takes_bias(owner, part) and readers.count(owner) == 1:
            owner.keys["bias_term"] = True
            owner.params["bias"] = part.params["bias"]
            owner.roles, owner.added = ["weight", "bias"], part.node
            readers.move(part, owner)
        if part.type == "InnerProduct" and part.keys.get("axis", 1) == 1 and owner is not None and owner.type == "Flatten":
            part.bottoms[0] = owner.bottoms[0]
    prune(net, outputs)


def below(part: Made) -> Made | None:
    """The layer whose first top a layer reads first."""
    x = part.bottoms[0] if part.bottoms else None
    return x.part if isinstance(x, Blob) and x.top == 0 else None


def takes_bias(owner: Made, part: Made) -> bool:
    """True for a bias, that learns, of each output of a layer that has none."""
    if owner.type not in BIASED or owner.keys.get("bias_term", True) or part.line:
        return False
    axis = BIASED[owner.type] or owner.keys.get("axis", 1)
    return bool(part.keys["axis"] == axis and part.params["bias"].shape == (owner.keys["num_output"],))


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
