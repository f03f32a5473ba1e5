"""LSTMCell: one step of an LSTM, for nets that are unrolled by hand."""

from dltrain.fields import Count
from dltrain.layer import Shape, layer
from dltrain.recurrent import Gates, Recurrent


@layer("LSTMCell")
class LSTMCell(Recurrent):
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
        gates = Gates("lstm", blocks=4, notes=("states", "gates", "cells"))
        if self.peepholes:
            gates.params["weight_c"] = (3, self.num_output), "constant"
        return self.one_step(gates, x, h=h, c=c)
