"""PrecisionRecall: how many of those it names are right, how many of the right ones it names, and both in one number."""

from typing import Any, Literal

from dltrain.errors import Refusal
from dltrain.fields import Finite, Natural
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("PrecisionRecall")
class PrecisionRecall(Scored):
    """precision = right / predicted,   recall = right / true,   y = f1 = 2 right / (predicted + true), in places of a class

    bottoms x       (N, C, ...)       scores; the largest predicts (of equal ones the last)
            label   (N, ...)          classes 0 .. C - 1, x without `axis`;   or 0 or 1 for each score: above `threshold` is a yes
            weight  (N) or as label   optional
    top     y       one number, f1

    average: macro, the mean over classes that are predicted or true anywhere; micro, all classes taken together.  `positive`
    looks at that class alone.  Scores NAME.precision, NAME.recall, NAME.f1, of all counts of a test; 0 where nothing is counted.
    A label that is `ignore_label` does not count.
    """

    kind = "metric"
    higher_is_better = True
    parts = ("precision", "recall", "f1")

    average: Literal["macro", "micro"] = "macro"
    positive: Natural | None = None
    threshold: Finite = 0.0
    axis: int = 1
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = self.places(x)
        self.each = self.as_many(x, label)
        if self.each:
            places = label
        self.integers(x, label, places, f"{places} or {x} integers")
        self.weighted(x, weight, places)
        if self.positive is not None and self.positive >= x[self.at]:
            raise Refusal("positive", f"{self.positive} is none of the {x[self.at]} classes")
        apart = self.average == "macro" and self.positive is None
        self.sums = self.tally(3 * x[self.at] if apart else 3)
        return Shape((1,))

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return (0, 1) if x.count == label.count else range(x[self.axis])

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        given = (weight[0] if weight else None, self.sums, self.at, self.ignore_label)
        self.ops.class_counts(x, label, *given, self.threshold if self.each else None, self.positive)
        self.ops.scored(self.sums, y, self.score)

    def backward(self, *blobs: Blob) -> None:
        """Counts do not change smoothly: there is no gradient."""

    @staticmethod
    def score(sums: Any) -> dict[str, float]:
        counts = [[float(number) for number in sums[at : at + 3]] for at in range(0, len(sums), 3)]
        counts = [count for count in counts if count[1] + count[2]]
        n = len(counts) or 1
        return {
            "precision": sum(right / said for right, said, _ in counts if said) / n,
            "recall": sum(right / true for right, _, true in counts if true) / n,
            "f1": sum(2 * right / (said + true) for right, said, true in counts) / n,
        }
