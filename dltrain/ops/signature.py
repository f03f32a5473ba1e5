"""How an op is declared: what it does with each argument, once, in the signature of its reference version.

In        read
Out       overwritten, all of it
Add       added into
Update    read and changed in place (statistics, weights)

Lifetimes, hazards, NaN checks and costs come from these declarations and from nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from dltrain.tensor import Tensor

In = Annotated[Any, "in"]
Out = Annotated[Any, "out"]
Add = Annotated[Any, "add"]
Update = Annotated[Any, "update"]


@dataclass(frozen=True, eq=False)
class Op:
    """An operation: its plain NumPy function, the mode of each array argument, and its arithmetic."""

    name: str
    function: Callable[..., None]
    modes: dict[str, str]
    signature: inspect.Signature
    shares: dict[str, tuple[str, ...]]  # output -> the inputs whose memory it may take over
    flops: Callable[[dict[str, Any]], int]

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.signature.parameters)

    def __repr__(self) -> str:
        return self.name


OPS: dict[str, Op] = {}


def elements(args: dict[str, Any]) -> int:
    """The arithmetic of an op that says nothing else: one operation for each element written."""
    return sum(tensor.shape.count for tensor in args.values() if isinstance(tensor, Tensor))


def op(flops: Callable[[dict[str, Any]], int] = elements, **shares: str) -> Callable[[Callable[..., None]], Op]:
    """Declares a reference function as an op; `dx="dy"` says that dx may take over the memory of dy."""

    def declare(function: Callable[..., None]) -> Op:
        signature = inspect.signature(function, eval_str=True)
        modes = {name: parameter.annotation.__metadata__[0] for name, parameter in signature.parameters.items()
                 if parameter.annotation in (In, Out, Add, Update)}  # fmt: skip
        takes = {out: tuple(names.split()) for out, names in shares.items()}
        made = Op(function.__name__, function, modes, signature, takes, flops)
        if OPS.setdefault(made.name, made) is not made:
            raise TypeError(f"op '{made.name}' is declared twice")
        return made

    return declare


@dataclass(eq=False)
class Call:
    """One operation on given tensors, emitted by a layer on its way forward or backward."""

    op: Op
    args: dict[str, Any]
    layer: str = ""
    way: str = "forward"
    tags: dict[str, Any] = field(default_factory=dict)  # what a back end notes for itself

    def uses(self, *modes: str) -> Iterator[tuple[str, Tensor]]:
        """(argument, tensor) for the arguments of these modes."""
        for name, mode in self.op.modes.items():
            if mode in modes:
                value = self.args.get(name)
                for tensor in value if isinstance(value, tuple) else (value,):
                    if tensor is not None:
                        yield name, tensor

    def reads(self) -> list[Tensor]:
        return [tensor for _, tensor in self.uses("in", "add", "update")]

    def writes(self) -> list[Tensor]:
        return [tensor for _, tensor in self.uses("out", "add", "update")]

    def __str__(self) -> str:
        words = [f"{name}={said(value)}" for name, value in self.args.items() if value is not None]
        return f"{self.layer}.{self.way}: {self.op.name}({', '.join(words)})"


def said(value: Any) -> str:
    """An argument in words that are the same in every process: a function by its name, not by its address."""
    if isinstance(value, tuple):
        return f"({', '.join(map(str, value))})"
    return str(getattr(value, "__qualname__", value))


class Tracer:
    """What a layer knows as `self.ops`: each method appends a Call; nothing is computed."""

    def __init__(self, calls: list[Call], layer: str = "") -> None:
        self.calls, self.layer, self.way = calls, layer, "forward"

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name not in OPS:
            raise AttributeError(f"there is no op '{name}'")
        return lambda *args, **keywords: self.emit(OPS[name], args, keywords)

    def emit(self, op: Op, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Appends the call, unless nobody wants any of its results."""
        bound = op.signature.bind(*args, **keywords)
        bound.apply_defaults()
        call = Call(op, dict(bound.arguments), self.layer, self.way)
        if call.writes():
            self.calls.append(call)
