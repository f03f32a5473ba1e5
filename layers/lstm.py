"""LSTM: a recurrent net whose memory is kept, written and read through gates."""

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("LSTM")
class LSTM(Layer):
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
    fixed = ("cont", "mask")

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
        if len(x) < 2:
            raise Refusal("bottom", f"needs sequences, N x T x ..., not {x}")
        n, h, ways = x[self.time_major], self.num_output, 1 + self.bidirectional
        parts, static = self.num_layers * ways, (x_static or ())[1:]
        first = (n, h) if parts == 1 else (n, parts, h)
        given = {"x": x, "cont": cont, "x_static": x_static, "h0": h0, "c0": c0, "mask": mask}
        wanted = {"x": x, "cont": x[:2], "x_static": (n, *static), "h0": first, "c0": first, "mask": x[:2]}
        self.roles = [role for role, shape in given.items() if shape is not None]
        for role, shape in given.items():
            if shape is not None:
                self.hold(role, shape, wanted[role])
        if self.carry and self.bidirectional:
            raise Refusal("carry", "does not go with bidirectional: the way back would start in the next batch; remove one")
        if self.carry and (h0 or c0):
            raise Refusal("carry", "takes the first states from the last batch, not from h0 or c0; remove one")
        self.declare(Shape(x[2:]).count, Shape(static).count if x_static else None)
        t = x[not self.time_major]
        kinds = {"states": (t + 1, n, h), "gates": (t, n, 4 * h), "cells": (t + 1, n, h)} if self.train else {}
        tape = tuple(self.buffer(f"{kind}{part}", kinds[kind]) for part in range(parts) for kind in kinds)
        time, data = 0 if self.time_major else 1, tuple(param.data for param in self.weights.values())
        self.common = {"kind": "lstm", "time": time, "names": tuple(self.weights), "weights": data, "tape": tape}
        carried = {"carried": "state", "carried_cell": "cell"} if self.carry else {}
        self.carried = {name: self.state(role, (n, parts, h), per_split=True) for name, role in carried.items()}
        return [Shape((*x[:2], ways * h)), Shape(first), Shape(first)]

    def hold(self, role: str, shape: Shape, wanted: tuple[int, ...]) -> None:
        """Refuses a bottom of another shape (with time_major, a state may have Caffe's 1 in front)."""
        if role not in self.fixed:
            self.real(shape)
        caffe = self.time_major and role in ("h0", "c0") and shape[0] == 1
        if shape != wanted and not (caffe and shape[1:] == wanted):
            raise Refusal("bottom", f"{role} must be {Shape(wanted)}, not {shape}")

    def declare(self, d: int, static: int | None) -> None:
        """The params, by name."""
        h, self.weights = self.num_output, {}
        for level in range(self.num_layers):
            for way in ("", "_reverse")[: 1 + self.bidirectional]:
                shapes = {"weight_x": (4 * h, d), "bias": (4 * h,) if self.bias_term else None,
                          "weight_static": (4 * h, static) if static is not None else None,
                          "weight_h": (4 * h, h), "weight_c": (3, h) if self.peepholes else None}  # fmt: skip
                for role, shape in shapes.items():
                    if shape is not None:
                        name = role + (f"_l{level}" if level else "") + way
                        filler = "constant" if role in ("bias", "weight_c") else "xavier"
                        self.weights[name] = self.param(name, shape, filler)
            d, static = h * (1 + self.bidirectional), None

    def forward(self, *blobs: Blob) -> None:
        *bottoms, y, state, cell = blobs
        self.last = state, cell  # backward gets those that are read
        read = {role: blob.data for role, blob in zip(self.roles, bottoms)}
        self.ops.recurrent(**read, **self.carried, **self.common, y=y.data, state=state.data, cell=cell.data)

    def backward(self, *blobs: Blob) -> None:
        bottoms = dict(zip(self.roles, blobs))
        read = {role: blob.data for role, blob in bottoms.items() if role not in ("h0", "c0")}
        grads = {f"d{role}": blob.grad for role, blob in bottoms.items() if role not in self.fixed}
        if self.truncate_state:
            for role in ("dh0", "dc0"):
                self.ops.fill(grads.pop(role, None), 0.0)
        else:
            grads |= {"dstate": self.last[0].grad, "dcell": self.last[1].grad}
        learns = {name: param.grad for name, param in self.weights.items() if param.wants_grad}
        self.ops.recurrent_grad(
            **read, **grads, **self.common, dy=blobs[len(bottoms)].grad, dweights=tuple(learns.values()), learns=tuple(learns)
        )
