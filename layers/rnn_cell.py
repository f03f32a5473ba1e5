"""RNNCell: one step of an RNN, for nets that are unrolled by hand."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("RNNCell")
class RNNCell(Layer):
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

    def setup(self, x: Shape, h: Shape) -> Shape:
        self.real(x, h)
        state, size = Shape((x[0], self.num_output)), self.num_output
        if h != state:
            raise Refusal("bottom", f"h must be {state}, as num_output says, not {h}")
        self.weights = {"weight_x": self.param("weight_x", (size, Shape(x[1:]).count), "xavier")}
        if self.bias_term:
            self.weights["bias"] = self.param("bias", (size,), "constant")
        self.weights["weight_h"] = self.param("weight_h", (size, size), "xavier")
        tape = (self.buffer("states", (2, x[0], size)),) if self.train else ()
        data, kind = tuple(param.data for param in self.weights.values()), f"rnn_{self.activation}"
        self.common = {"kind": kind, "time": None, "names": tuple(self.weights), "weights": data, "tape": tape}
        return state

    def forward(self, x: Blob, h: Blob, y: Blob) -> None:
        self.ops.recurrent(x=x.data, h0=h.data, y=y.data, **self.common)

    def backward(self, x: Blob, h: Blob, y: Blob) -> None:
        learns = {name: param.grad for name, param in self.weights.items() if param.wants_grad}
        self.ops.recurrent_grad(
            x=x.data, dy=y.grad, dx=x.grad, dh0=h.grad, **self.common, dweights=tuple(learns.values()), learns=tuple(learns)
        )
