"""Activations and norms that a file spells out, operator by operator, as the one layer that they are."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi, sqrt
from typing import Any

from dltrain.translate.onnx_graph import Blob, Graph, Made

NEAR = 1e-5  # of a number that a file has with the digits of float32
CUBE = 0.044715  # in GELU's form with tanh


def recognise(net: Graph) -> None:
    """Changes layers in place; what nobody reads any more goes later (onnx_tidy.py)."""
    for part in net.parts:
        if part.type == "Power":
            join(part)
    behind = {id(one.bottoms[0].part): one for one in net.parts if one.type == "Power" and isinstance(one.bottoms[0], Blob)}
    for part in list(net.parts):
        if part.type == "Eltwise" and part.keys.get("operation") == "prod":
            activation(part, behind.get(id(part)))
        elif part.type == "Bias":
            layer_norm(part)


def same(a: Any, b: Any) -> bool:
    """One blob, however it is seen."""
    return isinstance(a, Blob) and isinstance(b, Blob) and (a.part, a.top, a.name) == (b.part, b.top, b.name)


def close(a: float, b: float) -> bool:
    return abs(a - b) <= NEAR * abs(b)


def become(part: Made, kind: str, x: Blob, **keys: Any) -> None:
    part.type, part.keys, part.bottoms, part.whole = kind, keys, [x], True
    part.params, part.roles, part.line = {}, [], {}


# --- sums and factors ---
def power(x: Any) -> tuple[Blob, float, float, float] | None:
    """x as (shift + scale source)^power."""
    if not isinstance(x, Blob) or x.part is None or x.part.type != "Power" or not isinstance(x.part.bottoms[0], Blob):
        return None
    keys = x.part.keys
    return x.part.bottoms[0], keys.get("scale", 1.0), keys.get("shift", 0.0), keys.get("power", 1.0)


def join(part: Made) -> None:
    """A Power of a Power is one: of sums and factors, and a power of a root."""
    inner, (_, scale, shift, exponent) = power(part.bottoms[0]), power(part.tops[0]) or (0, 1.0, 0.0, 1.0)
    if inner is None:
        return
    x, first, second, root = inner
    if root == 1:
        part.keys = said(scale * first, shift + scale * second, exponent)
    elif root == 0.5 and (scale, shift) == (1, 0):
        part.keys = said(first, second, exponent * root)
    else:
        return
    part.bottoms = [x]


def said(scale: float, shift: float, exponent: float) -> dict[str, float]:
    given = {"power": (exponent, 1.0), "scale": (scale, 1.0), "shift": (shift, 0.0)}
    return {key: value for key, (value, usual) in given.items() if value != usual}


def affine(x: Any) -> tuple[Any, float, float]:
    """x as shift + scale source."""
    found = power(x)
    return (found[0], found[1], found[2]) if found is not None and found[3] == 1 else (x, 1.0, 0.0)


def of(x: Any, kind: str) -> Any:
    """What a layer of a type reads, where x is one's top."""
    return x.part.bottoms[0] if isinstance(x, Blob) and x.part is not None and x.part.type == kind and x.top == 0 else None


def maker(x: Any) -> Made:
    assert isinstance(x, Blob) and x.part is not None
    return x.part


# --- activations ---
def activation(part: Made, after: Made | None) -> None:
    """k x g(x): with its factor before, between or, in the Power `after` it, behind the product."""
    _, last, offset = affine(after.tops[0]) if after is not None else (None, 0.0, 1.0)
    ends = ([(after, last)] if after is not None and not offset else []) + [(part, 1.0)]
    for (x, factor, shift), other in sides(part):
        for end, more in ends if not shift else ():
            found = gate(x, factor * more, other)
            if found is not None:
                become(end, found[0], x, **found[1])
                return


def sides(part: Made) -> Iterator[tuple[tuple[Any, float, float], Any]]:
    """Both bottoms, each once as what passes and once as what lets pass."""
    if len(part.bottoms) == 2 and all(isinstance(x, Blob) and x.shape == part.tops[0].shape for x in part.bottoms):
        a, b = part.bottoms
        for passing, letting in ((a, b), (b, a)):
            yield affine(passing), letting
            yield (passing, 1.0, 0.0), letting


def gate(x: Any, factor: float, other: Any) -> tuple[str, dict[str, float]] | None:
    """The layer that is factor x other, and its keys."""
    source, scale, shift = affine(other)
    inner = {kind: affine(z) for kind in ("Sigmoid", "Erf", "TanH", "Clip", "ReLU6") if (z := of(source, kind)) is not None}
    whole = factor * scale
    for kind, (z, steep, start) in inner.items():
        own = same(z, x)
        if kind == "Sigmoid" and own and not start and not shift and whole == 1:
            return "Swish", {} if steep == 1 else {"beta": steep}
        if kind == "Erf" and own and not start and close(steep, sqrt(0.5)) and close(whole, 0.5) and close(shift, scale):
            return "ExactGELU", {}
        if (
            kind == "TanH"
            and not start
            and close(steep, sqrt(2 / pi))
            and close(whole, 0.5)
            and close(shift, scale)
            and cubic(z, x)
        ):
            return "GELU", {}
        if kind == "Clip":
            hard = close(start, 0.5) and close(steep, 1 / 6) and close(whole, 1) and limits(source) == (0.0, 1.0)
        else:
            hard = kind == "ReLU6" and close(start, 3) and steep == 1 and close(whole, 1 / 6)
        if hard and own and not shift:
            return "HardSwish", {}
    return None


def limits(x: Blob) -> tuple[float, float]:
    return maker(x).keys["min"], maker(x).keys["max"]


def cubic(z: Any, x: Any) -> bool:
    """z = x + 0.044715 x^3"""
    parts = z.part.bottoms if of(z, "Eltwise") is not None and z.part.keys.get("operation") == "sum" else []
    terms = [monomial(one, x) for one in parts]
    return len(terms) == 2 and (1.0, 1) in terms and any(degree == 3 and close(factor, CUBE) for factor, degree in terms)


def monomial(z: Any, x: Any, depth: int = 6) -> tuple[float, float]:
    """z as factor x^degree; (0, 0) where it is none."""
    if same(z, x):
        return 1.0, 1
    found = power(z)
    if depth and found is not None and not found[2]:
        factor, degree = monomial(found[0], x, depth - 1)
        return (factor * found[1]) ** found[3], degree * found[3]
    if depth and of(z, "Eltwise") is not None and z.part.keys.get("operation") == "prod":
        terms = [monomial(one, x, depth - 1) for one in z.part.bottoms]
        factor, degree = 1.0, 0.0
        for one, more in terms:
            factor, degree = factor * one, degree + more
        return factor, degree
    return 0.0, 0


# --- norms ---
def layer_norm(part: Made) -> None:
    """scale (x - mean) / sqrt(mean of squares + eps) + bias over the last axis."""
    quotient = of(part.bottoms[0], "Scale")
    if quotient is None or of(quotient, "Eltwise") is None or quotient.part.keys.get("operation") != "div":
        return
    apart, deviation = quotient.part.bottoms
    axis = apart.ndim - 1
    centred = of(apart, "Eltwise") is not None and apart.part.keys.get("operation") == "sub"
    found = power(deviation)
    if not centred or found is None or found[1] != 1 or found[3] != 0.5:
        return
    x, mean = apart.part.bottoms
    squared = power(mean_of(found[0], axis))
    scale = maker(part.bottoms[0])
    weights = [one.params.get(role) for one, role in ((scale, "scale"), (part, "bias"))]
    whole = all(array is not None and array.shape == (x.shape[axis],) for array in weights)
    places = scale.keys.get("axis", 1), part.keys.get("axis", 1)
    if whole and places == (axis, axis) and same(mean_of(mean, axis), x) and squared is not None and same(squared[0], apart) and (
        squared[1:] == (1.0, 0.0, 2.0)
    ):  # fmt: skip
        become(part, "LayerNorm", x, axis=axis, eps=found[2])
        part.params, part.roles = dict(zip(("scale", "bias"), weights)), ["scale", "bias"]


def mean_of(x: Any, axis: int) -> Any:
    """What x is the mean of, over its last axis, which has one place."""
    if not isinstance(x, Blob) or x.ndim != axis + 1:
        return None
    pooled = of(x, "Pooling")
    if pooled is not None:  # of images with one axis of places
        keys = maker(x).keys
        return pooled if axis == 2 and (keys["pool"], keys.get("global_pooling")) == ("mean", True) else None
    before = of(x, "Reshape")
    total = x if before is None else before
    inner = of(total, "Reduction")
    if inner is None or inner.ndim != x.ndim:
        return None
    keys = maker(total).keys
    return inner if (keys["operation"], keys["axis"]) == ("mean", axis) else None
