"""GRU: a recurrent net with gates and no memory besides its state."""

from typing import Literal

from dltrain.fields import Count
from dltrain.layer import Shape, layer
from dltrain.recurrent import Gates, Recurrent


@layer("GRU")
class GRU(Recurrent):
    """r, z = sigmoid(W_x x_t + W_h h + b)                  with h = cont_t h_{t-1}
    n = tanh(W_x x_t + b + r (W_h h + b_h)), or, with reset: before, tanh(W_x x_t + b + W_h (r h))
    y_t = h_t = z h + (1 - z) n

    bottoms x         (N, T, ...), D numbers a step        with time_major (T, N, ...), and so cont, mask, y
            cont      (N, T)      0 where a sequence starts, else 1: nothing crosses from one into the next
            x_static  (N, ...)    seen at every step
            h0        (N, H)      the state before the first step; 0 without it
            mask      (N, T)      0 where a step is padding: the state stays as it is, y is 0
    tops    y      (N, T, H)      H = num_output; with bidirectional (N, T, 2 H), forwards and then backwards
            state  (N, H)         the last h, behind the last step that is not masked
    params  weight_x (3 H, D), bias (3 H), weight_static (3 H, S), weight_h (3 H, H), rows in the order r, z, n;
            with reset: after bias_h (H).  Weights xavier, biases 0.
            Of further levels and of the way back: weight_x_l1, weight_x_reverse, weight_x_l1_reverse, and so on.

    Of several levels or directions, h0 and state are (N, levels x directions, H), in the order of the params.
    carry: the state goes on from batch to batch, one for each split, until cont is 0; the gradient ends at the batch.
    Gradients flow into h0 and from state, unless truncate_state.
    The gate z keeps, and r acts after the product, as in cuDNN, unlike Cho et al., EMNLP 2014 (reset: before).
    """

    more_tops = ("state",)

    num_output: Count
    bias_term: bool = True
    reset: Literal["after", "before"] = "after"
    num_layers: Count = 1
    bidirectional: bool = False
    time_major: bool = False
    carry: bool = False
    truncate_state: bool = False

    def setup(
        self, x: Shape, cont: Shape | None = None, x_static: Shape | None = None, h0: Shape | None = None,
        mask: Shape | None = None,
    ) -> list[Shape]:  # fmt: skip
        gates = Gates(f"gru_{self.reset}", blocks=3, notes=("states", "gates"))
        if self.bias_term and self.reset == "after":
            gates.params["bias_h"] = (self.num_output,), "constant"
        return self.sequences(gates, x=x, cont=cont, x_static=x_static, h0=h0, mask=mask)
