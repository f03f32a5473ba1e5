"""GRUCell: one step of a GRU, for nets that are unrolled by hand."""

from typing import Literal

from dltrain.fields import Count
from dltrain.layer import Shape, layer
from dltrain.recurrent import Gates, Recurrent


@layer("GRUCell")
class GRUCell(Recurrent):
    """r, z = sigmoid(W_x x + W_h h + b);   y = z h + (1 - z) n
    n = tanh(W_x x + b + r (W_h h + b_h)), or, with reset: before, tanh(W_x x + b + W_h (r h))

    bottoms x  (N, ...), D numbers a sample
            h  (N, num_output), the state before
    top     y  (N, num_output), the next
    params  weight_x (3 H, D), bias (3 H), weight_h (3 H, H), rows in the order r, z, n;   with reset: after bias_h (H)

    The params are those of a GRU of one level: `param: {weight_x: {share: gru.weight_x}}` makes it a step of that one.
    """

    num_output: Count
    bias_term: bool = True
    reset: Literal["after", "before"] = "after"

    def setup(self, x: Shape, h: Shape) -> list[Shape]:
        gates = Gates(f"gru_{self.reset}", blocks=3, notes=("states", "gates"))
        if self.bias_term and self.reset == "after":
            gates.params["bias_h"] = (self.num_output,), "constant"
        return self.one_step(gates, x, h=h)
