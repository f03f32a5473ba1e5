"""Policies that lead from the base to another number, in a line, or down to it and back: the usual courses of a momentum."""

from math import cos, pi

from dltrain.fields import Interval, NonNegative, Share
from dltrain.policy import Horizon, Policy, policy


@policy("ramp")
class Ramp(Policy):
    """n = base + (to - base) min(1, iteration / over)          (over the whole run where no length is given)

    A momentum that rises in its first epochs: Sutskever, Martens, Dahl & Hinton, ICML 2013.
    """

    to: NonNegative
    over: Interval | None = None

    @property
    def to_the_end(self) -> bool:
        return self.over is None

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        length = run.end if self.over is None else run.count(self.over)
        part = min(1.0, iteration / length)
        return (1 - part) * base + part * self.to


@policy("dip")
class Dip(Policy):
    """n goes along half a cosine from base to `to` over the first `rise` of the run, and so back to base.

    Beside lr_policy: one_cycle with the same rise this is the momentum of Smith's cycle, low while the rate is high.

    Smith & Topin 2017, arXiv:1708.07120.
    """

    to: NonNegative
    rise: Share = 0.3

    @property
    def to_the_end(self) -> bool:
        return True

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        top, t = self.rise * run.end, min(iteration, run.end)
        part = t / top if t < top else (run.end - t) / (run.end - top)
        return base + (self.to - base) * (1 - cos(pi * part)) / 2
