"""GRUCell: one step of a GRU, for nets that are unrolled by hand."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("GRUCell")
class GRUCell(Layer):
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

    def setup(self, x: Shape, h: Shape) -> Shape:
        self.real(x, h)
        state, size = Shape((x[0], self.num_output)), self.num_output
        if h != state:
            raise Refusal("bottom", f"h must be {state}, as num_output says, not {h}")
        self.weights = {"weight_x": self.param("weight_x", (3 * size, Shape(x[1:]).count), "xavier")}
        if self.bias_term:
            self.weights["bias"] = self.param("bias", (3 * size,), "constant")
        self.weights["weight_h"] = self.param("weight_h", (3 * size, size), "xavier")
        if self.bias_term and self.reset == "after":
            self.weights["bias_h"] = self.param("bias_h", (size,), "constant")
        shapes = {"states": (2, x[0], size), "gates": (1, x[0], 4 * size)} if self.train else {}
        tape = tuple(self.buffer(kind, shape) for kind, shape in shapes.items())
        data, kind = tuple(param.data for param in self.weights.values()), f"gru_{self.reset}"
        self.common = {"kind": kind, "time": None, "names": tuple(self.weights), "weights": data, "tape": tape}
        return state

    def forward(self, x: Blob, h: Blob, y: Blob) -> None:
        self.ops.recurrent(x=x.data, h0=h.data, y=y.data, **self.common)

    def backward(self, x: Blob, h: Blob, y: Blob) -> None:
        learns = {name: param.grad for name, param in self.weights.items() if param.wants_grad}
        self.ops.recurrent_grad(
            x=x.data, dy=y.grad, dx=x.grad, dh0=h.grad, **self.common, dweights=tuple(learns.values()), learns=tuple(learns)
        )
