"""AUC: how often a yes scores higher than a no; the area under the ROC curve."""

from typing import Any, Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("AUC")
class AUC(Scored):
    """y = share of the pairs of a yes and a no in which the yes scores higher; a pair of one bin counts half

    bottoms x       (N, ...)  a score for each label; or (N, 2, ...), the scores of the classes no and yes
            label   (N, ...)  1 for yes, 0 for no; `ignore_label` does not count
            weight  (N) or as label, optional: a pair counts the product
    top     y       one number

    The scores of a whole test would have to be sorted.  Instead they are counted in `bins` of equal width over the probabilities
    from 0 to 1 (x itself with scores: probability, else its sigmoid, of two classes their softmax): y is off by at most half the
    share of the pairs that fall into one bin together, and exact where none does.  0 where there is no pair.
    """

    kind = "metric"
    higher_is_better = True

    scores: Literal["sigmoid", "probability"] = "sigmoid"
    bins: Count = 2048
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        two = x[1:2] == (2,) and tuple(label) == (x[0], *x[2:])
        if label.dtype == "float" or (not two and not self.as_many(x, label)):
            raise Refusal(
                "bottom", f"needs an integer label for each score (or for both of N x 2): {x} against {label} of {label.dtype}"
            )
        self.weighted(x, weight, label)
        self.sums = self.tally(2 * self.bins)
        return Shape((1,))

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return 0, 1

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        squash = self.scores == "sigmoid"
        self.ops.score_histogram(x, label, weight[0] if weight else None, self.sums, squash, self.ignore_label)
        self.ops.scored(self.sums, y, self.score)

    def backward(self, *blobs: Blob) -> None:
        """Counts do not change smoothly: there is no gradient."""

    @staticmethod
    def score(sums: Any) -> float:
        bins = len(sums) // 2
        below = won = 0.0
        for yes, no in zip(sums[:bins], sums[bins:]):
            won += float(yes) * (below + float(no) / 2)
            below += float(no)
        pairs = float(sum(sums[:bins])) * below
        return won / pairs if pairs else 0.0
