"""LSTM: a recurrent net whose memory is kept, written and read through gates."""

from dltrain.fields import Count
from dltrain.layer import Shape, layer
from dltrain.recurrent import Gates, Recurrent


@layer("LSTM")
class LSTM(Recurrent):
    """i, f, o = sigmoid, g = tanh of W_x x_t + W_h h + b   with h = cont_t h_{t-1}, c = cont_t c_{t-1}
    c_t = f c + i g;   y_t = h_t = o tanh(c_t);   with peepholes, i and f also see w_c c, and o w_c c_t

    bottoms x         (N, T, ...), D numbers a step        with time_major (T, N, ...), and so cont, mask, y
            cont      (N, T)      0 where a sequence starts, else 1: nothing crosses from one into the next
            x_static  (N, ...)    seen at every step
            h0, c0    (N, H)      the states before the first step; 0 without them
            mask      (N, T)      0 where a step is padding: the state stays as it is, y is 0
    tops    y      (N, T, H)      H = num_output; with bidirectional (N, T, 2 H), forwards and then backwards
            state  (N, H)         the last h, behind the last step that is not masked;   cell  the last c
    params  weight_x (4 H, D), bias (4 H), weight_static (4 H, S), weight_h (4 H, H), rows in the order i, f, o, g;
            with peepholes weight_c (3, H) of i, f, o.  Weights xavier, bias and weight_c 0.
            Of further levels and of the way back: weight_x_l1, weight_x_reverse, weight_x_l1_reverse, and so on.

    Of several levels or directions, h0, c0, state and cell are (N, levels x directions, H), in the order of the params.
    carry: the states go on from batch to batch, one for each split, until cont is 0; the gradient ends at the batch.
    Gradients flow into h0 and c0 and from state and cell, unless truncate_state (what Caffe does).

    Hochreiter & Schmidhuber 1997; Gers, Schraudolph & Schmidhuber, JMLR 2002
    """

    more_tops = ("state", "cell")

    num_output: Count
    bias_term: bool = True
    peepholes: bool = False
    num_layers: Count = 1
    bidirectional: bool = False
    time_major: bool = False
    carry: bool = False
    truncate_state: bool = False

    def setup(
        self, x: Shape, cont: Shape | None = None, x_static: Shape | None = None, h0: Shape | None = None,
        c0: Shape | None = None, mask: Shape | None = None,
    ) -> list[Shape]:  # fmt: skip
        gates = Gates("lstm", blocks=4, notes=("states", "gates", "cells"))
        if self.peepholes:
            gates.params["weight_c"] = (3, self.num_output), "constant"
        return self.sequences(gates, x=x, cont=cont, x_static=x_static, h0=h0, c0=c0, mask=mask)
