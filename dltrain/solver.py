"""What a solver is: a rule for one element of a parameter.  The rules themselves are in solvers/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from dltrain.fields import Count, NonNegative, Span, chosen
from dltrain.layer import Tensor
from dltrain.ops.formula import Formula, formula
from dltrain.ops.signature import Tracer
from dltrain.registry import POLICIES, SOLVERS

__all__ = ["Horizon", "Policy", "Solver", "policy", "solver"]

solver = SOLVERS.add
policy = POLICIES.add


@dataclass(frozen=True)
class Horizon:
    """What a policy may know of the run: its length, and how many iterations an epoch takes."""

    max_iter: int
    per_epoch: Fraction

    def count(self, span: Span) -> int:
        """A span in whole iterations, rounded up."""
        return span.iterations(self.per_epoch)

    def done(self, iteration: int, span: Span) -> int:
        """How many of these spans are over after so many iterations."""
        return int(iteration // span.length(self.per_epoch))


def power(x: float, y: float) -> float:
    """x ^ y, infinite where it is too large."""
    try:
        return float(x**y)
    except OverflowError:
        return float("inf")


class Policy:
    """How the rate changes in time: a pure function of the iteration, which counts the updates done."""

    type: ClassVar[str]

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        raise NotImplementedError


@dataclass(kw_only=True)
class Solver:
    """What every rule shares.  A rule adds its keys, the names of its slots, and a formula:

    rule(w, g, *slots, lr, *hyper) -> w, *slots          hyper: keys of the solver, by name

    The order of a step is written once, in dltrain/ops: sum over iter_size passes, clip the norm, divide, decay, rule, clear.
    """

    type: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[Callable[..., Any]]

    base_lr: NonNegative
    lr_policy: chosen("POLICIES") = None  # type: ignore[valid-type]
    weight_decay: NonNegative = 0.0
    regularization_type: Literal["L2", "L1"] = "L2"
    clip_gradients: Annotated[float, Gt(0)] | None = None
    iter_size: Count = 1
    param: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def formula(self) -> Formula:
        return formula(type(self).rule)

    @property
    def hyper(self) -> tuple[str, ...]:
        """The keys that the rule asks for, in the order of its arguments."""
        return self.formula.arguments[3 + len(self.slots) :]

    def rates(self, iteration: int, run: Horizon) -> dict[str, float]:
        """The numbers of one step, by name: lr, decay, and the keys the rule asks for."""
        lr = self.lr_policy.rate(self.base_lr, iteration, run) if self.lr_policy else self.base_lr
        return {"lr": lr, "decay": self.weight_decay, **{name: float(getattr(self, name)) for name in self.hyper}}

    def emit(self, ops: Tracer, flat: dict[str, Tensor], losses: tuple[Tensor, ...], segments: Any) -> None:
        """The update of all parameters as calls; `flat` holds w, g, the slots, the rates, norm and failed by name."""
        ops.sum_of_squares(flat["g"], flat["norm"])
        ops.update(
            flat["w"], flat["g"], tuple(flat[slot] for slot in self.slots), (flat["lr"], flat["decay"]),
            tuple(flat[name] for name in self.hyper), losses, flat["norm"], flat["failed"],
            self.formula, segments, self.regularization_type == "L1", self.clip_gradients, self.iter_size,
        )  # fmt: skip
