"""AdaGrad: each weight has its own rate, which falls with the gradients it has seen; over all time, or over a window."""

from math import sqrt
from typing import Annotated

from pydantic import AfterValidator

from dltrain.fields import Count, NonNegative
from dltrain.policy import Horizon
from dltrain.solver import Solver, solver

PARTS = 8


def in_parts(window: int) -> int:
    if window > PARTS and window % PARTS:
        raise ValueError(f"must be up to {PARTS}, or a multiple of {PARTS} such as {window // PARTS * PARTS}, not {window}")
    return window


@solver("AdaGrad")
class AdaGrad(Solver):
    """h <- h + g^2;   w <- w - lr g / (sqrt(h + inside_root) + delta)          (0 where h is still 0)

    Caffe's form is inside_root 0; Smola's, lr / sqrt(K + h), is inside_root K with delta 0.

    Duchi, Hazan & Singer, JMLR 2011, in Caffe's form (src/caffe/solvers/adagrad_solver.cpp).
    """

    delta: NonNegative = 1e-8
    inside_root: NonNegative = 0.0

    slots = ("square",)

    @staticmethod
    def rule(w: float, g: float, square: float, lr: float, delta: float, inside_root: float) -> tuple[float, float]:
        h = square + g * g
        step = lr * g / (sqrt(h + inside_root) + delta) if h > 0 else 0
        return w - step, h


@solver("WindowedAdaGrad")
class WindowedAdaGrad(Solver):
    """h = sum of g^2 over the last `window` steps;   w <- w - lr g / sqrt(inside_root + h)          (0 where h is 0)

    The squares are kept in 8 slots.  A window of up to 8 steps is exact; of a longer one, a multiple of 8, each slot sums
    window / 8 steps and is emptied as a whole, so that h reaches back between 7/8 of the window and all of it.

    Smola's local variant of AdaGrad.
    """

    window: Annotated[Count, AfterValidator(in_parts)]
    inside_root: NonNegative = 0.0

    slots = ("part0", "part1", "part2", "part3", "part4", "part5", "part6", "part7")

    def computed(self, iteration: int, run: Horizon) -> dict[str, float]:
        """Which part the step belongs to, and whether it is the first in it."""
        length = max(1, self.window // PARTS)
        return {"at": iteration // length % (self.window // length), "first": iteration % length == 0}

    @staticmethod
    def rule(
        w: float, g: float,
        part0: float, part1: float, part2: float, part3: float, part4: float, part5: float, part6: float, part7: float,
        lr: float, at: float, first: float, inside_root: float,
    ) -> tuple[float, ...]:  # fmt: skip
        a = g * g + (0 if first > 0 else part0) if at == 0 else part0
        b = g * g + (0 if first > 0 else part1) if at == 1 else part1
        c = g * g + (0 if first > 0 else part2) if at == 2 else part2
        d = g * g + (0 if first > 0 else part3) if at == 3 else part3
        e = g * g + (0 if first > 0 else part4) if at == 4 else part4
        f = g * g + (0 if first > 0 else part5) if at == 5 else part5
        p = g * g + (0 if first > 0 else part6) if at == 6 else part6
        q = g * g + (0 if first > 0 else part7) if at == 7 else part7
        h = a + b + c + d + e + f + p + q
        step = lr * g / sqrt(inside_root + h) if h > 0 else 0
        return w - step, a, b, c, d, e, f, p, q
