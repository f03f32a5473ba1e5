"""ConfusionMatrix: which classes are taken for which."""

from typing import Any

from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("ConfusionMatrix")
class ConfusionMatrix(Scored):
    """y = share of places whose best class is the label;   matrix[label, best class] = sum of weights, over all batches of a test

    bottoms x       (N, C, ...)       scores
            label   (N, ...)          classes 0 .. C - 1, x without `axis`; `ignore_label` does not count
            weight  (N) or as label   optional
    top     y       one number

    Of equal scores the last class is the best, as in Caffe's ArgMax: where many are equal, Accuracy, which counts ties as
    wrong, is smaller.
    """

    kind = "metric"
    higher_is_better = True

    axis: int = 1
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = self.places(x)
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        self.sums = self.tally(x[self.at] ** 2)
        return Shape((1,))

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.ops.confusion(x, label, weight[0] if weight else None, self.sums, self.at, self.ignore_label)
        self.ops.scored(self.sums, y, self.score)

    def backward(self, *blobs: Blob) -> None:
        """Counts do not change smoothly: there is no gradient."""

    @staticmethod
    def details(sums: Any) -> list[list[float]]:
        """The sums as rows of labels, with columns of what they were taken for."""
        classes = round(len(sums) ** 0.5)
        return [[float(count) for count in sums[row * classes : (row + 1) * classes]] for row in range(classes)]

    @staticmethod
    def score(sums: Any) -> float:
        total = float(sum(sums))
        return float(sum(sums[:: round(len(sums) ** 0.5) + 1])) / total if total else 0.0
