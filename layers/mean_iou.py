"""MeanIoU: how well regions of classes cover those they should, as in segmentation."""

from typing import Any

from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("MeanIoU")
class MeanIoU(Scored):
    """y = mean over classes of places rightly of the class / places of the class, predicted or true; classes with none left out

    bottoms x       (N, C, ...)       scores; the largest predicts (of equal ones the last)
            label   (N, ...)          classes 0 .. C - 1, x without `axis`; `ignore_label` does not count
            weight  (N) or as label   optional
    top     y       one number

    The score of a test is that of the places of all its images, not the mean over images.
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
        self.sums = self.tally(3 * x[self.at])
        return Shape((1,))

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.ops.class_counts(x, label, weight[0] if weight else None, self.sums, self.at, self.ignore_label, None, None)
        self.ops.scored(self.sums, y, self.score)

    def backward(self, *blobs: Blob) -> None:
        """Counts do not change smoothly: there is no gradient."""

    @staticmethod
    def score(sums: Any) -> float:
        counts = [[float(number) for number in sums[at : at + 3]] for at in range(0, len(sums), 3)]
        shares = [right / (said + true - right) for right, said, true in counts if said + true]
        return sum(shares) / len(shares) if shares else 0.0
