"""LSTMCell: one step of an LSTM, for nets that are unrolled by hand."""

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("LSTMCell")
class LSTMCell(Layer):
    """i, f, o = sigmoid, g = tanh of W_x x + W_h h + b;   cell = f c + i g;   y = o tanh(cell)
    with peepholes, i and f also see w_c c, and o w_c cell

    bottoms x     (N, ...), D numbers a sample
            h, c  (N, num_output), the states before
    tops    y     (N, num_output), the next h;   cell  the next c
    params  weight_x (4 H, D), bias (4 H), weight_h (4 H, H), rows in the order i, f, o, g;   with peepholes weight_c (3, H)

    The params are those of an LSTM of one level: `param: {weight_x: {share: lstm.weight_x}}` makes it a step of that one.
    """

    more_tops = ("cell",)

    num_output: Count
    bias_term: bool = True
    peepholes: bool = False

    def setup(self, x: Shape, h: Shape, c: Shape) -> list[Shape]:
        self.real(x, h, c)
        state = Shape((x[0], self.num_output))
        for role, shape in (("h", h), ("c", c)):
            if shape != state:
                raise Refusal("bottom", f"{role} must be {state}, as num_output says, not {shape}")
        size = self.num_output
        self.weights = {"weight_x": self.param("weight_x", (4 * size, Shape(x[1:]).count), "xavier")}
        if self.bias_term:
            self.weights["bias"] = self.param("bias", (4 * size,), "constant")
        self.weights["weight_h"] = self.param("weight_h", (4 * size, size), "xavier")
        if self.peepholes:
            self.weights["weight_c"] = self.param("weight_c", (3, size), "constant")
        shapes = {"states": (2, x[0], size), "gates": (1, x[0], 4 * size), "cells": (2, x[0], size)} if self.train else {}
        tape = tuple(self.buffer(kind, shape) for kind, shape in shapes.items())
        data = tuple(param.data for param in self.weights.values())
        self.common = {"kind": "lstm", "time": None, "names": tuple(self.weights), "weights": data, "tape": tape}
        return [state, state]

    def forward(self, x: Blob, h: Blob, c: Blob, y: Blob, cell: Blob) -> None:
        self.cell = cell  # backward gets it if it is read
        self.ops.recurrent(x=x.data, h0=h.data, c0=c.data, y=y.data, cell=cell.data, **self.common)

    def backward(self, x: Blob, h: Blob, c: Blob, y: Blob, *cell: Blob) -> None:
        learns = {name: param.grad for name, param in self.weights.items() if param.wants_grad}
        self.ops.recurrent_grad(
            x=x.data, dy=y.grad, dcell=self.cell.grad, dx=x.grad, dh0=h.grad, dc0=c.grad, **self.common,
            dweights=tuple(learns.values()), learns=tuple(learns),
        )  # fmt: skip
