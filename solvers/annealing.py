"""Policies that anneal: cosine with restarts, one cycle, triangular, and a rate that falls when a score no longer improves."""

from math import cos, pi
from typing import Annotated, Literal

from annotated_types import Ge

from dltrain.fields import Interval, NonNegative, Share
from dltrain.policy import Horizon, Policy, policy, power


def between(low: float, high: float, part: float) -> float:
    """From low (part 0) to high (part 1) along half a cosine."""
    return low + (high - low) * (1 - cos(pi * part)) / 2


@policy("cosine")
class Cosine(Policy):
    """lr = base_lr (min + (1 - min) (1 + cos(pi t / period)) / 2),   t iterations after the last restart

    The period is the whole run, unless one is given; then the rate starts again after each, and each is `mult` times as long
    as the one before.  Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983.
    """

    period: Interval | None = None
    mult: Annotated[float, Ge(1)] = 1.0
    min: Share = 0.0

    @property
    def to_the_end(self) -> bool:
        return self.period is None

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        if self.period is None:
            return base * between(1, self.min, min(1.0, iteration / run.end))
        length, t = float(self.period.length(run.per_epoch)), float(iteration)
        if self.mult == 1:
            t %= length
        while t >= length:
            t, length = t - length, length * self.mult
        return base * between(1, self.min, t / length)


@policy("one_cycle")
class OneCycle(Policy):
    """lr rises along half a cosine from start base_lr to base_lr over the first `rise` of the run, and falls so to end base_lr.

    Smith & Topin 2017, arXiv:1708.07120.  Their momentum goes the other way: momentum: {type: dip, base: 0.95, to: 0.85}.
    """

    rise: Share = 0.3
    start: Share = 0.04
    end: Share = 4e-6

    @property
    def to_the_end(self) -> bool:
        return True

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        top, t = self.rise * run.end, min(iteration, run.end)
        if t < top:
            return base * between(self.start, 1, t / top)
        return base * between(1, self.end, (t - top) / (run.end - top))


@policy("triangular")
class Triangular(Policy):
    """lr goes from min base_lr up to base_lr in a line over stepsize iterations, down again over as many, and so on.

    Each triangle is gamma times as high above min base_lr as the one before.  Smith, WACV 2017, arXiv:1506.01186.
    """

    stepsize: Interval
    min: Share = 0.0
    gamma: NonNegative = 1.0

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        x = float(iteration / self.stepsize.length(run.per_epoch))
        height = max(0.0, 1 - abs(x % 2 - 1)) * power(self.gamma, x // 2)
        return base * (self.min + (1 - self.min) * height)


@policy("plateau")
class Plateau(Policy):
    """lr = base_lr gamma ^ (how often the score has stopped improving), never below min base_lr

    It has stopped when a test comes `patience` after the best one, or after the last fall, and has not been better than that
    best by more than min_delta.  Only tests count, so a patience shorter than the time between two is over at the next.
    """

    monitor: str = "loss"
    patience: Interval
    gamma: Share = 0.5
    mode: Literal["min", "max"] | None = None
    min_delta: NonNegative = 0.0
    min: Share = 0.0

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        return base * max(self.min, power(self.gamma, self.falls(iteration, run)))

    def falls(self, iteration: int, run: Horizon) -> int:
        """How many falls the tests up to this iteration have brought."""
        wait, sign = run.count(self.patience), 1 if self.higher(run) else -1
        best, since, falls = -float("inf"), 0, 0
        for at, scores in run.history:
            values = [sign * value for name, value in scores.items() if self.monitor in (name, name.partition(".")[2])]
            if at > iteration or not values:
                continue
            if values[0] > best + self.min_delta:
                best, since = values[0], at
            elif at - since >= wait:
                since, falls = at, falls + 1
        return falls

    def higher(self, run: Horizon) -> bool:
        """Whether more is better: as the user says, else as the metric does."""
        name = self.monitor if self.monitor in run.higher else self.monitor.partition(".")[2]
        return run.higher.get(name, False) if self.mode is None else self.mode == "max"
