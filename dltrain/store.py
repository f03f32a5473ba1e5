"""What outlives a step: parameters, their gradients and slots in flat arrays, and the states of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dltrain.errors import Refusal, did_you_mean
from dltrain.ops import philox
from dltrain.registry import FILLERS
from dltrain.tensor import Param, Shape, Tensor

ALIGN = 16  # elements: each parameter starts on a cache line


@dataclass
class ParamSpec:
    """What a line of the net says of one parameter."""

    filler: Any = None
    lr_mult: float = 1.0
    decay_mult: float | None = None  # None: 1, but 0 for biases and scales
    freeze: bool = False
    share: str | None = None  # LAYER.ROLE of the parameter that stands here, too
    transpose: bool = False  # the one that stands here is a matrix, and it stands transposed


@dataclass(eq=False)
class Segment:
    """One parameter's place in the flat arrays."""

    layer: str
    role: str
    shape: Shape
    start: int
    spec: ParamSpec
    handle: Param
    filler: Any

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.role}"

    @property
    def frozen(self) -> bool:
        return self.spec.freeze or self.spec.lr_mult == 0

    @property
    def decay_mult(self) -> float:
        if self.spec.decay_mult is not None:
            return self.spec.decay_mult
        return 0.0 if self.role.split("_")[0] in ("bias", "scale") else 1.0  # also bias_l1, bias_reverse, bias_o

    def fill(self, seed: int) -> Any:
        """First values: a pure function of the seed and the name."""
        return self.filler.fill(self.shape, philox.key(seed, f"filler {self.name}"))


@dataclass
class State:
    """An array of a layer that is saved with the run."""

    name: str
    handle: Tensor
    init: float


class Store:
    """Declares parameters and states, once for all graphs; knows shapes and places, owns no memory."""

    def __init__(self) -> None:
        self.segments: dict[tuple[str, str], Segment] = {}
        self.states: dict[str, State] = {}
        self.w, self.g = Tensor("w", Shape((0,)), "param"), Tensor("g", Shape((0,)), "param_grad")
        self.shared: dict[tuple[str, str], Segment] = {}  # parameters that are another layer's
        self.turned: dict[tuple[str, str], Segment] = {}  # and such that are another's transposed
        self.tallies: dict[str, Tensor] = {}
        self.closed = False

    def param(self, layer: str, role: str, shape: Shape, filler: str, spec: ParamSpec, **keys: float) -> Param:
        """The handle of a parameter, the same in every graph."""
        found = self.segments.get((layer, role)) or self.shared.get((layer, role))
        if found is None and spec.share is not None:
            found = self.shared[layer, role] = self.owner(spec.share)
        if found is None:
            if self.closed:
                raise TypeError(f"layer '{layer}' asks for '{role}' in some graphs and not in all")
            start, name = self.size, f"{layer}.{role}"
            handle = Param(
                Tensor(name, shape, "param", (self.w, start)), Tensor(f"{name}.grad", shape, "param_grad", (self.g, start))
            )
            found = Segment(layer, role, shape, start, spec, handle, spec.filler or FILLERS[filler](**keys))
            found.filler.fits(shape)
            if found.frozen:
                handle.grad = None
            self.segments[layer, role] = found
            self.w.shape = self.g.shape = Shape((start + -(-shape.count // ALIGN) * ALIGN,))
        if found.shape != shape:
            raise Refusal("", f"its {role} is {found.shape} elsewhere and {shape} here; fix the size of the bottom")
        return found.handle

    def turn(self, layer: str, role: str, shape: Shape, name: str) -> Param:
        """The handle of a matrix that stands transposed in another layer."""
        found = self.turned[layer, role] = self.owner(name)
        if len(shape) != 2 or tuple(found.shape) != (shape[1], shape[0]):
            raise Refusal("param", f"cannot share '{name}' transposed: it is {found.shape}, and {shape} is wanted here")
        return found.handle

    def owner(self, name: str) -> Segment:
        """The parameter of a name; a sharer stands below its owner."""
        found = next((part for part in self.segments.values() if part.name == name), None)
        if found is None:
            known = [part.name for part in self.segments.values()]
            raise Refusal("param", f"cannot share '{name}': no layer above has it; {did_you_mean(name, known)}")
        return found

    def state(self, name: str, shape: Shape, init: float) -> Tensor:
        if name not in self.states:
            self.states[name] = State(name, Tensor(name, shape, "state"), init)
        found, held = self.states[name], self.states[name].handle.shape
        if "@" in name and shape[1:] == held[1:] and shape[0] < held[0]:  # a smaller batch: its samples are the first
            return Tensor(name, shape, "state", (found.handle, 0))
        if found.handle.shape != shape:
            raise Refusal("", f"its state {name} is {found.handle.shape} for one batch and {shape} for another")
        return found.handle

    def tally(self, name: str, size: int) -> Tensor:
        """The sums behind a score: the same for all graphs, as those of one pass over a cut fill it together."""
        return self.tallies.setdefault(name, Tensor(name, Shape((size,), "double"), "tally"))

    def table(self) -> list[tuple[int, int, float, float]]:
        """(start, stop, lr_mult, decay_mult) of each parameter that learns."""
        return [(part.start, part.start + part.shape.count, part.spec.lr_mult, part.decay_mult)
                for part in self.segments.values() if not part.frozen]  # fmt: skip

    @property
    def size(self) -> int:
        """Elements of a flat array."""
        return self.w.shape.count

    @property
    def parameters(self) -> int:
        return sum(part.shape.count for part in self.segments.values())
