"""What a policy is: how a number of the solver changes in time.  The policies themselves are in solvers/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar

from dltrain.fields import Moving, Span
from dltrain.registry import POLICIES

policy = POLICIES.add


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
    """How a number changes in time: a pure function of the iteration, which counts the updates done, and of the history.

    As lr_policy it moves base_lr; in the place of a number (momentum, weight_decay) it brings its own base.
    """

    type: ClassVar[str]
    base: float  # what it starts from, in the place of a number
    monitor: str | None = None  # the score that it looks at
    then: Any = None  # the policy inside it

    def rate(self, base: float, iteration: int, run: Horizon) -> float:
        raise NotImplementedError

    @property
    def to_the_end(self) -> bool:
        """True where the rate depends on when the run ends, so that a longer run is another run."""
        return False


@cache
def based(kind: type[Policy], mark: Moving) -> type[Policy]:
    """The policy as it stands in the place of a number, with `base` as one more key."""
    return make_dataclass(kind.__name__, [("base", mark.base)], bases=(kind,), kw_only=True)
