"""RNN: a net whose state is a squashed sum of what it sees and what it was."""

from typing import Literal

from dltrain.fields import Count
from dltrain.layer import Shape, layer
from dltrain.recurrent import Gates, Recurrent


@layer("RNN")
class RNN(Recurrent):
    """h_t = f(W_h cont_t h_{t-1} + W_x x_t + b [+ W_s x_static]);   y_t = tanh(W_o h_t + b_o), or h_t with output_term: false

    bottoms x         (N, T, ...), D numbers a step        with time_major (T, N, ...), and so cont, mask, y
            cont      (N, T)      0 where a sequence starts, else 1: nothing crosses from one into the next
            x_static  (N, ...)    seen at every step
            h0        (N, H)      the state before the first step; 0 without it
            mask      (N, T)      0 where a step is padding: the state stays as it is, y is 0
    tops    y      (N, T, H)      H = num_output; with bidirectional (N, T, 2 H), forwards and then backwards
            state  (N, H)         the last h, behind the last step that is not masked
    params  weight_x (H, D), bias (H), weight_static (H, S), weight_h (H, H), weight_o (H, H), bias_o (H):
            weights xavier, biases 0
            Of further levels and of the way back: weight_x_l1, weight_x_reverse, weight_x_l1_reverse, and so on.

    Of several levels or directions, h0 and state are (N, levels x directions, H), in the order of the params.
    carry: the state goes on from batch to batch, one for each split, until cont is 0; the gradient ends at the batch.
    Gradients flow into h0 and from state, unless truncate_state (what Caffe does).
    The squashed output beside the state is Caffe's; f is `activation`.                  Elman, Cognitive Science 1990
    """

    more_tops = ("state",)

    num_output: Count
    bias_term: bool = True
    output_term: bool = True
    activation: Literal["tanh", "relu"] = "tanh"
    num_layers: Count = 1
    bidirectional: bool = False
    time_major: bool = False
    carry: bool = False
    truncate_state: bool = False

    def setup(
        self, x: Shape, cont: Shape | None = None, x_static: Shape | None = None, h0: Shape | None = None,
        mask: Shape | None = None,
    ) -> list[Shape]:  # fmt: skip
        h, notes = self.num_output, ("outputs", "states") if self.output_term else ("states",)
        gates = Gates(f"rnn_{self.activation}", blocks=1, notes=notes)
        if self.output_term:
            gates.params["weight_o"] = (h, h), "xavier"
        if self.output_term and self.bias_term:
            gates.params["bias_o"] = (h,), "constant"
        return self.sequences(gates, x=x, cont=cont, x_static=x_static, h0=h0, mask=mask)
