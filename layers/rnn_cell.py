"""RNNCell: one step of an RNN, for nets that are unrolled by hand."""

from typing import Literal

from dltrain.fields import Count
from dltrain.layer import Shape, layer
from dltrain.recurrent import Gates, Recurrent


@layer("RNNCell")
class RNNCell(Recurrent):
    """y = f(W_x x + W_h h + b)

    bottoms x  (N, ...), D numbers a sample
            h  (N, num_output), the state before
    top     y  (N, num_output), the next
    params  weight_x (H, D), bias (H), weight_h (H, H)

    The params are those of an RNN of one level: `param: {weight_x: {share: rnn.weight_x}}` makes it a step of that one
    (without the squashed output, which RNN has besides).
    """

    num_output: Count
    bias_term: bool = True
    activation: Literal["tanh", "relu"] = "tanh"

    def setup(self, x: Shape, h: Shape) -> list[Shape]:
        return self.one_step(Gates(f"rnn_{self.activation}", blocks=1, notes=("states",)), x, h=h)
