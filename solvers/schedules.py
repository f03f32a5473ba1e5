"""How the rate changes in time: Caffe's seven policies, a formula each, Smola's two, and a warm-up before any of them."""

from math import exp
from typing import Annotated, Any

from pydantic import AfterValidator

from dltrain.fields import Finite, Interval, NonNegative, Positive, Share, Span, chosen
from dltrain.policy import Horizon, Policy, policy, power


def rising(steps: tuple[tuple[Span, float], ...]) -> tuple[tuple[Span, float], ...]:
    starts = [start for start, _ in steps]
    if len({start.unit for start in starts}) > 1 or starts != sorted(starts, key=lambda start: start.amount):
        raise ValueError("must be in the order of time, with one unit")
    return steps


@policy("fixed")
class Fixed(Policy):
    """lr = base_lr"""

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base


@policy("step")
class Step(Policy):
    """lr = base_lr gamma ^ floor(iteration / stepsize)"""

    gamma: NonNegative
    stepsize: Interval

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base * power(self.gamma, run.done(iteration, self.stepsize))


@policy("exp")
class Exp(Policy):
    """lr = base_lr gamma ^ iteration"""

    gamma: NonNegative

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base * power(self.gamma, iteration)


@policy("inv")
class Inv(Policy):
    """lr = base_lr (1 + gamma iteration) ^ -power"""

    gamma: NonNegative
    power: Finite

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base * power(1 + self.gamma * iteration, -self.power)


@policy("multistep")
class MultiStep(Policy):
    """lr = base_lr gamma ^ (how many of the stepvalues have been reached)"""

    gamma: NonNegative
    stepvalue: tuple[Interval, ...]

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base * power(self.gamma, sum(iteration >= run.count(value) for value in self.stepvalue))


@policy("piecewise")
class Piecewise(Policy):
    """lr = base_lr factor of the last of the steps [start, factor] that have been reached; base_lr before the first

    steps: [[10 epochs, 0.5], [20 epochs, 0.1]].  Factors count from base_lr, not from one another as gamma in multistep does.
    """

    steps: Annotated[tuple[tuple[Interval, NonNegative], ...], AfterValidator(rising)] = ()

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        reached = [factor for start, factor in self.steps if iteration >= run.count(start)]
        return base * (reached[-1] if reached else 1)


@policy("poly")
class Poly(Policy):
    """lr = base_lr (1 - iteration / max_iter) ^ power"""

    power: NonNegative

    @property
    def to_the_end(self) -> bool:
        return True

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return float(base * (1 - min(iteration, run.end) / run.end) ** self.power)


@policy("sigmoid")
class Sigmoid(Policy):
    """lr = base_lr / (1 + exp(-gamma (iteration - stepsize)))"""

    gamma: Finite
    stepsize: Interval

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        z = -self.gamma * (iteration - run.count(self.stepsize))
        return base / (1 + exp(z)) if z < 700 else 0.0


@policy("decline")
class Decline(Policy):
    """lr = base_lr / (beta + iteration) ^ gamma          (Smola's alpha is base_lr)

    gamma 0.5 is the usual choice, 1 that for strongly convex problems.  Caffe's inv is the same curve beginning at base_lr.
    """

    beta: Positive = 1.0
    gamma: NonNegative = 0.5

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base * power(self.beta + iteration, -self.gamma)


@policy("warmup")
class Warmup(Policy):
    """lr rises in a line from start base_lr to what `then` gives, over the first `iterations`; `then` counts from 0 all along.

    Goyal et al., "Accurate, large minibatch SGD", 2017.
    """

    iterations: Interval
    start: Share = 0.0
    then: chosen("POLICIES") = None  # type: ignore[valid-type]

    @property
    def to_the_end(self) -> bool:
        return self.then is not None and bool(self.then.to_the_end)

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        full: Any = self.then.rate(base, iteration, run) if self.then else base
        rise = min(1.0, iteration / run.count(self.iterations))
        return float(full * (self.start + (1 - self.start) * rise))
