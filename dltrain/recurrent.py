"""The contract of recurrent layers: bottoms, levels, directions, states and the way back; a layer adds its gates."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Param, Shape

FIRST = ("h0", "c0")  # the states before the first step
NOTES = {"outputs": (0, 1), "states": (1, 1), "gates": (0, 4), "cells": (1, 1)}  # steps besides T, and widths in H


@dataclass
class Gates:
    """What a recurrent formula has of its own."""

    kind: str  # its name in the op `recurrent`
    blocks: int  # of H rows each, one below another in weight_x, bias, weight_static and weight_h
    notes: tuple[str, ...]  # what the op keeps of each part for the way back
    params: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)  # further ones: shape and filler


class Recurrent(Layer):
    """h_t = f(x_t, h_{t-1}) over whole sequences, or one step of it

    The op `recurrent` holds the formulas.  A layer's `setup`, whose arguments are the roles of its bottoms in their order, says
    which is meant (`Gates`) and gives the shapes to `sequences`, or to `one_step`, which has no levels, ways or states to carry.
    A part is one level in one direction; its params end in _l1, _reverse, _l1_reverse, and so on.
    """

    fixed = ("cont", "mask")

    # the keys, as far as a layer has them as fields
    num_output: int
    bias_term: bool = True
    num_layers: int = 1
    bidirectional: bool = False
    time_major: bool = False
    carry: bool = False
    truncate_state: bool = False

    def sequences(self, gates: Gates, **roles: Shape | None) -> list[Shape]:
        """The shapes of y and of the last states, from those of the bottoms by role."""
        given = {role: shape for role, shape in roles.items() if shape is not None}
        x, ways = given["x"], 1 + self.bidirectional
        if len(x) < 2:
            raise Refusal("bottom", f"needs sequences, N x T x ..., not {x}")
        n, t, parts = x[self.time_major], x[not self.time_major], self.num_layers * ways
        static = given["x_static"][1:] if "x_static" in given else None
        first = Shape((n, self.num_output) if parts == 1 else (n, parts, self.num_output))
        wanted = {"x": x, "cont": x[:2], "x_static": (n, *(static or ())), "mask": x[:2], **dict.fromkeys(FIRST, first)}
        for role, shape in given.items():
            self.hold(role, shape, wanted[role])
        self.hold_carry(given)
        self.declare(gates, Shape(x[2:]).count, None if static is None else Shape(static).count)
        self.prepare(gates, list(given), t, n, 0 if self.time_major else 1)
        if self.carry:
            states = [self.state(top, (n, parts, self.num_output), per_split=True) for top in self.more_tops]
            self.carried = dict(zip(("carried", "carried_cell"), states))
        return [Shape((*x[:2], ways * self.num_output)), *(first for _ in self.more_tops)]

    def one_step(self, gates: Gates, x: Shape, **states: Shape) -> list[Shape]:
        """The shapes of y and of the further state, from those of x and of the states before, h and c."""
        self.real(x, *states.values())
        made = Shape((x[0], self.num_output))
        for role, shape in states.items():
            if shape != made:
                raise Refusal("bottom", f"{role} must be {made}, as num_output says, not {shape}")
        self.declare(gates, Shape(x[1:]).count, None)
        self.prepare(gates, ["x", *(f"{role}0" for role in states)], 1, x[0], None)
        return [made for _ in states]

    def hold(self, role: str, shape: Shape, wanted: tuple[int, ...]) -> None:
        """Refuses a bottom of another shape (with time_major, a state may have Caffe's 1 in front)."""
        if role not in self.fixed:
            self.real(shape)
        caffe = self.time_major and role in FIRST and shape == (1, *wanted)
        if shape != wanted and not caffe:
            raise Refusal("bottom", f"{role} must be {Shape(wanted)}, not {shape}")

    def hold_carry(self, given: Container[str]) -> None:
        if self.carry and self.bidirectional:
            raise Refusal("carry", "does not go with bidirectional: the way back would start in the next batch; remove one")
        if self.carry and any(role in given for role in FIRST):
            what, roles = ("state", "h0") if len(self.more_tops) == 1 else ("states", "h0 or c0")
            raise Refusal("carry", f"takes the first {what} from the last batch, not from {roles}; remove one")

    def declare(self, gates: Gates, d: int, static: int | None) -> None:
        """The params, by name."""
        h, rows = self.num_output, gates.blocks * self.num_output
        self.weights: dict[str, Param] = {}
        for level in range(self.num_layers):
            shapes: dict[str, tuple[tuple[int, ...], str]] = {"weight_x": ((rows, d), "xavier")}
            if self.bias_term:
                shapes["bias"] = (rows,), "constant"
            if static is not None and level == 0:
                shapes["weight_static"] = (rows, static), "xavier"
            shapes |= {"weight_h": ((rows, h), "xavier")} | gates.params
            for way in ("", "_reverse")[: 1 + self.bidirectional]:
                for role, (shape, filler) in shapes.items():
                    name = role + (f"_l{level}" if level else "") + way
                    self.weights[name] = self.param(name, shape, filler)
            d = h * (1 + self.bidirectional)

    def prepare(self, gates: Gates, roles: list[str], t: int, n: int, time: int | None) -> None:
        """What forward and backward give to the op alike."""
        self.roles, self.carried = roles, {}
        parts = range(self.num_layers * (1 + self.bidirectional)) if self.train else ()
        sizes = {kind: (t + more, n, widths * self.num_output) for kind, (more, widths) in NOTES.items()}
        tape = tuple(self.buffer(f"{kind}{part}", sizes[kind]) for part in parts for kind in gates.notes)
        data = tuple(param.data for param in self.weights.values())
        self.common = {"kind": gates.kind, "time": time, "names": tuple(self.weights), "weights": data, "tape": tape}

    def forward(self, *blobs: Blob) -> None:
        y, *last = blobs[len(self.roles) :]
        self.last = dict(zip(self.more_tops, last))  # backward gets those that are read
        data = {role: blob.data for role, blob in [*zip(self.roles, blobs), *self.last.items()]}
        self.ops.recurrent(**data, y=y.data, **self.carried, **self.common)

    def backward(self, *blobs: Blob) -> None:
        bottoms = dict(zip(self.roles, blobs))
        read = {role: blob.data for role, blob in bottoms.items() if role not in FIRST}
        grads = {f"d{role}": blob.grad for role, blob in bottoms.items() if role not in self.fixed}
        if self.truncate_state:
            for role in FIRST:
                self.ops.fill(grads.pop(f"d{role}", None), 0.0)
        else:
            grads |= {f"d{role}": blob.grad for role, blob in self.last.items()}
        learns = {name: param.grad for name, param in self.weights.items() if param.wants_grad}
        self.ops.recurrent_grad(
            **read, **grads, **self.common, dy=blobs[len(bottoms)].grad, dweights=tuple(learns.values()), learns=tuple(learns)
        )
