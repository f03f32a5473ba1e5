"""The contract of elementwise layers: one scalar formula forward, one for the gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

from dltrain.layer import Blob, Layer, Shape
from dltrain.ops.formula import formula


class Elementwise(Layer):
    """y = f(x, keys);   dx = df(x or y, dy, keys)

    `f` and `df` are formulas (dltrain/ops/formula.py); an argument's name says what it gets: x, y, dy, or, behind these, a key.
    A gradient that asks for y and not for x lets the plan overwrite x.
    """

    f: ClassVar[Callable[..., Any]]
    df: ClassVar[Callable[..., Any]]
    monotone: bool = False  # f never falls: the plan may change its place with a maximum

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.emit(type(self).f, {"x": x.data}, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        self.emit(type(self).df, {"x": x.data, "y": y.data, "dy": y.grad}, x.grad)

    def emit(self, function: Callable[..., Any], blobs: dict[str, Any], out: Any) -> None:
        made = formula(function)
        told = [name in blobs for name in made.arguments]
        if told != sorted(told, reverse=True):
            raise TypeError(f"{made}({', '.join(made.arguments)}): a key stands before x, y or dy; put the keys last")
        keys = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        xs = tuple(blobs[name] for name in made.arguments if name in blobs)
        constants = tuple(float(keys[name]) for name in made.arguments if name not in blobs)
        self.ops.elementwise(xs, out, made, constants, self.monotone)
