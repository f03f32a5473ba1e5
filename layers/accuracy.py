"""Accuracy: how often the right class is among the best."""

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("Accuracy")
class Accuracy(Scored):
    """y = share of places where fewer than top_k other classes score at least as high as the label's class.

    bottoms x          (N, C, ...)       scores
            label      (N, ...)          classes 0 .. C - 1, x without `axis`; `ignore_label` does not count
            weight     (N) or as label   optional
    tops    y          one number
            per_class  (C)  only if read: the share among the places of each class in this batch, 0 where there is none

    Ties count against, as in Caffe: a net that gives every class the same score is never right.
    """

    kind = "metric"
    higher_is_better = True
    more_tops = ("per_class",)

    axis: int = 1
    top_k: Count = 1
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> list[Shape]:
        self.real(x)
        places = self.places(x)
        self.integers(x, label, places, f"{places} integers for scores of {x}")
        self.weighted(x, weight, places)
        if self.top_k > x[self.at]:
            raise Refusal("top_k", f"{self.top_k} is more than the {x[self.at]} classes")
        self.hit = self.buffer("hit", places)
        self.z = self.buffer("z", (1,))
        self.sums = self.tally()
        return [Shape((1,)), Shape((x[self.at],))]

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y, per_class = (blob.data for blob in blobs)
        w = weight[0] if weight else None
        self.ops.hits(x, label, w, self.hit, self.at, self.top_k, self.ignore_label)
        self.ops.weigh(label, w, self.z, "valid", self.ignore_label)
        self.ops.weighted_mean(self.hit, self.z, self.sums, y)
        self.ops.class_means(self.hit, label, w, per_class, self.ignore_label)

    def backward(self, *blobs: Blob) -> None:
        """A share does not change smoothly: there is no gradient."""
