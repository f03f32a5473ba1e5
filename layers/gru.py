"""GRU: a recurrent net with gates and no memory besides its state."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("GRU")
class GRU(Layer):
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
    fixed = ("cont", "mask")

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
        if len(x) < 2:
            raise Refusal("bottom", f"needs sequences, N x T x ..., not {x}")
        n, h, ways = x[self.time_major], self.num_output, 1 + self.bidirectional
        parts, static = self.num_layers * ways, (x_static or ())[1:]
        first = (n, h) if parts == 1 else (n, parts, h)
        given = {"x": x, "cont": cont, "x_static": x_static, "h0": h0, "mask": mask}
        wanted = {"x": x, "cont": x[:2], "x_static": (n, *static), "h0": first, "mask": x[:2]}
        self.roles = [role for role, shape in given.items() if shape is not None]
        for role, shape in given.items():
            if shape is not None:
                self.hold(role, shape, wanted[role])
        if self.carry and self.bidirectional:
            raise Refusal("carry", "does not go with bidirectional: the way back would start in the next batch; remove one")
        if self.carry and h0:
            raise Refusal("carry", "takes the first state from the last batch, not from h0; remove one")
        self.declare(Shape(x[2:]).count, Shape(static).count if x_static else None)
        t = x[not self.time_major]
        kinds = {"states": (t + 1, n, h), "gates": (t, n, 4 * h)} if self.train else {}
        tape = tuple(self.buffer(f"{kind}{part}", kinds[kind]) for part in range(parts) for kind in kinds)
        kind, data = f"gru_{self.reset}", tuple(param.data for param in self.weights.values())
        time = 0 if self.time_major else 1
        self.common = {"kind": kind, "time": time, "names": tuple(self.weights), "weights": data, "tape": tape}
        self.carried = self.state("state", (n, parts, h), per_split=True) if self.carry else None
        return [Shape((*x[:2], ways * h)), Shape(first)]

    def hold(self, role: str, shape: Shape, wanted: tuple[int, ...]) -> None:
        """Refuses a bottom of another shape (with time_major, a state may have Caffe's 1 in front)."""
        if role not in self.fixed:
            self.real(shape)
        caffe = self.time_major and role == "h0" and shape[0] == 1
        if shape != wanted and not (caffe and shape[1:] == wanted):
            raise Refusal("bottom", f"{role} must be {Shape(wanted)}, not {shape}")

    def declare(self, d: int, static: int | None) -> None:
        """The params, by name."""
        h, self.weights = self.num_output, {}
        for level in range(self.num_layers):
            for way in ("", "_reverse")[: 1 + self.bidirectional]:
                shapes = {"weight_x": (3 * h, d), "bias": (3 * h,) if self.bias_term else None,
                          "weight_static": (3 * h, static) if static is not None else None, "weight_h": (3 * h, h),
                          "bias_h": (h,) if self.bias_term and self.reset == "after" else None}  # fmt: skip
                for role, shape in shapes.items():
                    if shape is not None:
                        name = role + (f"_l{level}" if level else "") + way
                        filler = "constant" if role in ("bias", "bias_h") else "xavier"
                        self.weights[name] = self.param(name, shape, filler)
            d, static = h * (1 + self.bidirectional), None

    def forward(self, *blobs: Blob) -> None:
        *bottoms, y, state = blobs
        self.last = state  # backward gets it if it is read
        read = {role: blob.data for role, blob in zip(self.roles, bottoms)}
        self.ops.recurrent(**read, **self.common, y=y.data, state=state.data, carried=self.carried)

    def backward(self, *blobs: Blob) -> None:
        bottoms = dict(zip(self.roles, blobs))
        read = {role: blob.data for role, blob in bottoms.items() if role != "h0"}
        grads = {f"d{role}": blob.grad for role, blob in bottoms.items() if role not in self.fixed}
        if self.truncate_state:
            self.ops.fill(grads.pop("dh0", None), 0.0)
        else:
            grads["dstate"] = self.last.grad
        learns = {name: param.grad for name, param in self.weights.items() if param.wants_grad}
        self.ops.recurrent_grad(
            **read, **grads, **self.common, dy=blobs[len(bottoms)].grad, dweights=tuple(learns.values()), learns=tuple(learns)
        )
