"""What a solver is: a rule for one element of a parameter.  The rules themselves are in solvers/."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from dltrain.fields import Count, Interval, NonNegative, Positive, Share, Span, bare, chosen
from dltrain.layer import Tensor
from dltrain.marks import Key
from dltrain.ops.formula import Formula, formula
from dltrain.ops.signature import Tracer
from dltrain.registry import POLICIES, SOLVERS

__all__ = ["Horizon", "Policy", "Solver", "policy", "solver"]

solver = SOLVERS.add
policy = POLICIES.add

OFFERED = ("pull", "decay", "decay_mult", "w_norm", "g_norm")  # what ops.update gives a rule that names it
AVERAGE = "average"  # the slot of weight_ema


@dataclass(frozen=True)
class Horizon:
    """What a policy may know of the run: its length, how many iterations an epoch takes, and the scores so far."""

    max_iter: int
    per_epoch: Fraction
    history: Sequence[tuple[int, Mapping[str, float]]] = field(default=(), compare=False)  # (iteration, SPLIT.NAME -> score)
    higher: Mapping[str, bool] = field(default_factory=dict, compare=False)  # NAME -> whether more is better

    @property
    def end(self) -> int:
        """The last iteration."""
        if not self.max_iter:
            raise ValueError("needs an end; add max_iter or max_epochs")
        return self.max_iter

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
    """How the rate changes in time: a pure function of the iteration, which counts the updates done, and of the history."""

    type: ClassVar[str]
    monitor: str | None = None  # the score that it looks at
    then: Any = None  # the policy inside it

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        raise NotImplementedError

    @property
    def to_the_end(self) -> bool:
        """True where the rate depends on when the run ends, so that a longer run is another run."""
        return False


@dataclass(kw_only=True)
class WeightEma:
    """a <- a + (1 - d) (w - a) after each update, d = min(decay, t / (t + 1)) after t updates: at first the mean of all so far.

    With `use`, a is what phases other than train compute with, and what a snapshot holds as the weights.  Statistics of
    layers (BatchNorm) are those that training gathers with w.
    """

    decay: Share = 0.999
    use: bool = False


@dataclass(kw_only=True)
class Solver:
    """What every rule shares.  A rule adds its keys, the names of its slots, and a formula of one element:

    rule(w, g, *slots, lr, *hyper) -> w, *slots

    hyper are, by name: keys of the solver; numbers that `computed` makes anew for each step; and what the step offers:
    pull (what the decay pulls by: decay w, or decay sign w), decay, decay_mult, w_norm and g_norm (of the whole parameter).
    A rule that names pull or decay decays by itself; for any other g holds the pull already.

    A rule that needs the norm of what it has made of g does that first, in a formula of its own; `rule` then has no slots:

    direction(w, g, *slots, lr, *hyper) -> g, *slots

    The order of a step is written once, here and in ops.update: sum over iter_size passes, clip the norm, divide, decay, rule,
    clear; then bound the weights (clip_weights), bound the rows (max_norm), average (weight_ema).
    """

    type: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[Callable[..., Any]]
    direction: ClassVar[Callable[..., Any] | None] = None

    base_lr: NonNegative
    lr_policy: chosen("POLICIES") = None  # type: ignore[valid-type]
    weight_decay: NonNegative = 0.0
    regularization_type: Literal["L2", "L1"] = "L2"
    regularization_start: Interval | None = None  # no decay before
    clip_gradients: Annotated[float, Gt(0)] | None = None
    clip_weights: Positive | None = None  # each weight within -clip_weights .. clip_weights
    max_norm: Positive | None = None  # the length of each row of a weight: of what one unit reads
    weight_ema: Annotated[WeightEma, bare("decay")] | None = None
    iter_size: Count = 1
    param: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def formula(self) -> Formula:
        return formula(type(self).rule)

    @property
    def stages(self) -> list[tuple[Formula, tuple[str, ...]]]:
        """The formulas of a step with the slots of each."""
        first = type(self).direction
        return [(self.formula, self.slots)] if first is None else [(formula(first), self.slots), (self.formula, ())]

    @property
    def measures(self) -> bool:
        """True where a rule asks for the norms of each parameter."""
        return any({"w_norm", "g_norm"} & set(stage.arguments) for stage, _ in self.stages)

    @property
    def hyper(self) -> tuple[str, ...]:
        """The numbers that the rule asks for, in the order of its arguments."""
        return tuple(dict.fromkeys(name for stage, slots in self.stages for name in asked(stage, slots)))

    @property
    def kept(self) -> tuple[str, ...]:
        """The arrays that a step changes beside the weights: those of the rule, and the average."""
        return (*self.slots, AVERAGE) if self.weight_ema else self.slots

    @property
    def uses_average(self) -> bool:
        return self.weight_ema is not None and self.weight_ema.use

    @property
    def policies(self) -> list[tuple[Key, Policy]]:
        """The policy of the rate and those inside it, each with the keys that lead to it."""
        found: list[tuple[Key, Policy]] = []
        path: Key = ("lr_policy",)
        inner = self.lr_policy
        while inner is not None:
            found.append((path, inner))
            path, inner = (*path, "then"), inner.then
        return found

    def mistakes(self, ends: bool) -> Iterator[tuple[Key, str]]:
        """Lengths that cannot be, in a run that iterations end or only a time: the keys that lead there, and the words."""
        for path, part in [((), self), *self.policies]:
            for where, span in lengths(part):
                if span.unit == "seconds":
                    yield (*path, *where), f"{where[0]} counts iterations or epochs; write 5 epochs"
        for path, part in self.policies[-1:]:
            if part.to_the_end and not ends:
                yield path, f"{part.type} looks at the end of the run; add max_iter or max_epochs"

    def computed(self, iteration: int) -> dict[str, float]:
        """Numbers of a step that are no keys, such as a correction for the first steps."""
        return {}

    def rates(self, iteration: int, run: Horizon) -> dict[str, float]:
        """The numbers of one step, by name: lr, decay, what the rule asks for, and how much of w goes into the average."""
        lr = self.lr_policy.rate(self.base_lr, iteration, run) if self.lr_policy else self.base_lr
        early = self.regularization_start is not None and iteration < run.count(self.regularization_start)
        computed = self.computed(iteration)
        hyper = {name: float(computed[name] if name in computed else getattr(self, name)) for name in self.hyper}
        fresh = {"fresh": max(1 - self.weight_ema.decay, 1 / (iteration + 1))} if self.weight_ema else {}
        return {"lr": lr, "decay": 0.0 if early else self.weight_decay, **hyper, **fresh}

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of what `rates` gives."""
        return ("lr", "decay", *self.hyper, *(("fresh",) if self.weight_ema else ()))

    def emit(self, ops: Tracer, flat: dict[str, Tensor], losses: tuple[Tensor, ...], segments: Any, rows: Any = ()) -> None:
        """The update of all parameters as calls; `flat` holds w, g, the slots, the rates, norm, norms and failed by name.

        `segments` are (start, stop, lr_mult, decay_mult) of each parameter, `rows` (start, stop, rows) of those that have rows.
        """
        w, g, failed = flat["w"], flat["g"], flat["failed"]
        ops.sum_of_squares(g, flat["norm"])
        for number, (stage, slots) in enumerate(self.stages):
            norms = flat["norms"] if {"w_norm", "g_norm"} & set(stage.arguments) else None
            if norms is not None:
                ops.squares(w, g, norms, segments)
            ops.update(
                w, g, tuple(flat[slot] for slot in slots), (flat["lr"], flat["decay"]),
                tuple(flat[name] for name in asked(stage, slots)), losses, flat["norm"], failed, stage, segments,
                self.regularization_type == "L1", self.clip_gradients, self.iter_size, norms,
                "whole" if len(self.stages) == 1 else ("first", "second")[number],
            )  # fmt: skip
        if self.clip_weights is not None:
            ops.clip_weights(w, failed, segments, self.clip_weights)
        if self.max_norm is not None:
            ops.max_norm(w, failed, rows, self.max_norm)
        if self.weight_ema is not None:
            ops.average(w, flat[AVERAGE], flat["fresh"], failed)


def asked(stage: Formula, slots: tuple[str, ...]) -> tuple[str, ...]:
    """The numbers that a formula asks for, but for what the step offers."""
    return tuple(name for name in stage.arguments[3 + len(slots) :] if name not in OFFERED)


def lengths(part: Any) -> Iterator[tuple[Key, Span]]:
    """The keys of a solver or a policy that count iterations, those in lists too."""
    for each in fields(part):
        value = getattr(part, each.name)
        if isinstance(value, Span):
            yield (each.name,), value
        elif isinstance(value, tuple):
            yield from (((each.name, at), item) for at, item in enumerate(value) if isinstance(item, Span))
