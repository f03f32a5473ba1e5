"""What a solver is: a rule for one element of a parameter.  The rules themselves are in solvers/."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from dltrain.errors import ConfigError
from dltrain.fields import Count, Interval, Moving, MovingNonNegative, Positive, Share, Span, bare, chosen, moving
from dltrain.layer import Tensor
from dltrain.marks import Key
from dltrain.ops.formula import Formula, formula
from dltrain.ops.signature import Tracer
from dltrain.policy import Horizon, Policy
from dltrain.registry import SOLVERS

__all__ = ["Horizon", "Policy", "Solver", "solver"]

solver = SOLVERS.add

OFFERED = ("pull", "decay", "decay_mult", "w_norm", "g_norm")  # what ops.update gives a rule that names it
AVERAGE = "average"  # the slot of weight_ema


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

    A number of a Moving type may be a policy instead, with its base; `at` gives what it is in an iteration.

    A rule that needs the norm of what it has made of g does that first, in a formula of its own; `rule` then has no slots:

    direction(w, g, *slots, lr, *hyper) -> g, *slots

    The order of a step is written once, here and in ops.update: sum over iter_size passes, clip the norm, divide, decay, rule,
    clear; then bound the weights (clip_weights), bound the rows (max_norm), average (weight_ema).
    """

    type: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[Callable[..., Any]]
    direction: ClassVar[Callable[..., Any] | None] = None

    base_lr: MovingNonNegative
    lr_policy: chosen("POLICIES") = None  # type: ignore[valid-type]
    weight_decay: MovingNonNegative = 0.0
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
    def movable(self) -> dict[str, Moving]:
        """The numbers in whose place a policy may stand."""
        kind: Any = type(self)
        return moving(kind)

    @property
    def moved(self) -> dict[str, Policy]:
        """The policies that stand in the place of numbers."""
        found = {name: getattr(self, name) for name in self.movable}
        return {name: value for name, value in found.items() if isinstance(value, Policy)}

    @property
    def policies(self) -> list[tuple[Key, Policy]]:
        """The policy of the rate, those of other numbers, and those inside them, each with the keys that lead to it."""
        found: list[tuple[Key, Policy]] = []
        path: Key
        for name, outer in {"lr_policy": self.lr_policy, **self.moved}.items():
            path, inner = (name,), outer
            while inner is not None:
                found.append((path, inner))
                path, inner = (*path, "then"), inner.then
        return found

    def mistakes(self, ends: bool) -> Iterator[tuple[Key, str]]:
        """What cannot be, in a run that iterations end or only a time: the keys that lead there, and the words."""
        for path, part in [((), self), *self.policies]:
            for where, span in lengths(part):
                if span.unit == "seconds":
                    yield (*path, *where), f"{where[0]} counts iterations or epochs; write 5 epochs"
        for path, policy in self.policies:
            if policy.to_the_end and policy.then is None and not ends:
                yield path, f"{policy.type} looks at the end of the run; add max_iter or max_epochs"
        if self.lr_policy is not None and "base_lr" in self.moved:
            yield ("lr_policy",), "base_lr has a policy of its own; leave lr_policy out"

    def strays(self, run: Horizon) -> Iterator[tuple[Key, str]]:
        """The numbers whose policies lead out of their bounds in some 500 iterations of the run, as far as no score decides."""
        last = (run.max_iter or 100_000) - 1
        for name in self.moved:
            try:
                for iteration in (*range(0, last, max(1, last // 500)), last):
                    self.at(name, iteration, run)
            except ConfigError as error:
                yield (name,), str(error).removeprefix("solver: ")

    def at(self, name: str, iteration: int, run: Horizon) -> float:
        """A number in an iteration: as it is written, or as its policy moves it."""
        value = getattr(self, name)
        if not isinstance(value, Policy):
            return float(value)
        now = value.rate(value.base, iteration, run)
        mark = self.movable[name]
        if not mark.holds(now):
            bound = "a finite number" if mark.below is None else f"less than {mark.below:g}"
            raise ConfigError(f"solver: {name} is {now:g} in iteration {iteration}; it must be {bound}: change its {value.type}")
        return now

    @cached_property
    def products(self) -> dict[str, tuple[int, float]]:
        """Number -> (steps, the product of its values over them), so that the next step only multiplies once."""
        return {}

    def left(self, name: str, iteration: int, run: Horizon) -> float:
        """How much of its beginning a mean by this number holds after a step: number^t, or the product where a policy moves it.

        What is too little to be seen in 1 - product is not multiplied on: a number around 0.999 needs 46,000 steps at most.
        """
        if not isinstance(getattr(self, name), Policy):
            return float(getattr(self, name) ** (iteration + 1))
        steps, product = self.products.get(name, (0, 1.0))
        if steps > iteration + 1:
            steps, product = 0, 1.0
        while steps <= iteration and product > 1e-20:
            steps, product = steps + 1, product * self.at(name, steps, run)
        self.products[name] = (iteration + 1, product)
        return product

    def computed(self, iteration: int, run: Horizon) -> dict[str, float]:
        """Numbers of a step that are no keys, such as a correction for the first steps."""
        return {}

    def rates(self, iteration: int, run: Horizon) -> dict[str, float]:
        """The numbers of one step, by name: lr, decay, what the rule asks for, and how much of w goes into the average."""
        base = self.at("base_lr", iteration, run)
        lr = self.lr_policy.rate(base, iteration, run) if self.lr_policy else base
        early = self.regularization_start is not None and iteration < run.count(self.regularization_start)
        computed = self.computed(iteration, run)
        hyper = {name: float(computed[name]) if name in computed else self.at(name, iteration, run) for name in self.hyper}
        fresh = {"fresh": max(1 - self.weight_ema.decay, 1 / (iteration + 1))} if self.weight_ema else {}
        return {"lr": lr, "decay": 0.0 if early else self.at("weight_decay", iteration, run), **hyper, **fresh}

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

    def walk(value: Any, path: Key) -> Iterator[tuple[Key, Span]]:
        if isinstance(value, Span):
            yield path, value
        elif isinstance(value, tuple):
            for at, item in enumerate(value):
                yield from walk(item, (*path, at))

    for each in fields(part):
        yield from walk(getattr(part, each.name), (each.name,))
