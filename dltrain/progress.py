"""How far a run is: everything about it that is not an array, and that a resume must know."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Best:
    """The best value of one score so far, and after how many updates it was seen."""

    score: str
    higher: bool
    value: float | None = None
    iteration: int = 0

    def improves(self, value: float, by: float = 0.0) -> bool:
        """True, and noted by `take`, where `value` is better than the best by more than `by`; NaN never is."""
        if self.value is None:
            return value == value
        return value > self.value + by if self.higher else value < self.value - by

    def take(self, value: float, iteration: int) -> None:
        self.value, self.iteration = value, iteration


@dataclass
class Progress:
    """An iteration is an update applied; "after iteration 100" means 100 updates."""

    iteration: int = 0
    forwards: int = 0  # forward passes in phase train: what dropout counts by
    shown_loss: float = 0.0  # sums since the last display
    shown_count: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)  # (iteration, scores) of each test
    best: Best | None = None  # what best.h5 is chosen by
    early: Best | None = None  # what early stopping watches, with its min_delta
    seconds: float = 0.0  # of training, all sittings together
    reason: str | None = None  # why it ended

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, record: dict[str, Any]) -> Progress:
        made = cls(**{**record, "history": [(int(at), dict(scores)) for at, scores in record["history"]]})
        made.best = Best(**record["best"]) if record["best"] else None
        made.early = Best(**record["early"]) if record["early"] else None
        return made

    @property
    def exact(self) -> dict[str, Any]:
        """What a second run would have alike: all but the time, and why it ended."""
        return {key: value for key, value in self.record().items() if key not in ("seconds", "reason")}
