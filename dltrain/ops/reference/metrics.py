"""Metrics: hits, and the counts over a whole set that exact scores are functions of."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dltrain.ops.reference.loss import element_weights, places, taken
from dltrain.ops.signature import In, Out, op


@op()
def hits(x: In, label: In, weight: In, hit: Out, axis: int, top_k: int, ignore: int | None) -> None:
    """hit = weight where fewer than top_k other classes score at least as high as the label's (ties count against), else 0"""
    w = places(label, weight, ignore, x.dtype)
    own = np.expand_dims(taken(x, label, w, axis), axis)
    rivals = np.logical_not(x < own).sum(axis=axis) - 1  # NaN is no less than anything: a net that has failed is not right
    hit[...] = np.where(rivals < top_k, w, 0)


@op()
def class_means(values: In, label: In, weight: In, y: Out, ignore: int | None) -> None:
    """y[c] = sum of values / sum of weights over the places of label c, and 0 where there is none"""
    w = places(label, weight, ignore, y.dtype)
    kept = w != 0
    sums = [np.bincount(label[kept], part[kept], len(y)) for part in (values, w)]
    y[...] = np.where(sums[1] != 0, sums[0] / np.where(sums[1] != 0, sums[1], 1), 0).astype(y.dtype)


@op()
def scored(sums: In, y: Out, score: Callable[[Any], float | dict[str, float]]) -> None:
    """y = score(sums), of several by name the last: what the score would be if this batch were all"""
    made = score(sums)
    y[...] = made if not isinstance(made, dict) else list(made.values())[-1]


def best(x: Any, axis: int) -> Any:
    """The class of the largest score; of equal ones the last, as in Caffe's ArgMax."""
    return x.shape[axis] - 1 - np.flip(x, axis).argmax(axis=axis)


@op()
def confusion(x: In, label: In, weight: In, sums: Out, axis: int, ignore: int | None) -> None:
    """sums[label C + best class of x] = sum of weights"""
    w, classes = places(label, weight, ignore, x.dtype), x.shape[axis]
    kept = w != 0
    sums[...] = np.bincount((label * classes + best(x, axis))[kept], w[kept], classes * classes)


@op()
def class_counts(
    x: In, label: In, weight: In, sums: Out, axis: int, ignore: int | None, threshold: float | None, chosen: int | None
) -> None:
    """sums = weights of places (where the class is right, where it is predicted, where it is true), for each class in turn

    A class is predicted where its score is the best, or exceeds `threshold` (labels are then 0 or 1 for each score).  With
    fewer sums than classes: those of the class `chosen`, or of all taken together.
    """
    classes = x.shape[axis]
    if threshold is None:
        w, said = places(label, weight, ignore, x.dtype), best(x, axis)
        kept = w != 0
        label, said, w = label[kept], said[kept], w[kept]
        parts = [np.bincount(of, w * one, classes) for of, one in ((label, label == said), (said, True), (label, True))]
    else:
        truth = label.reshape(x.shape)
        w = element_weights((x, truth), weight, ignore)
        said, true = x > threshold, truth == 1
        others = tuple(other for other in range(x.ndim) if other != axis)
        parts = [(w * one).sum(axis=others, dtype=np.float64) for one in (said & true, said, true)]
    counts = np.stack(parts, axis=1)
    if sums.size < counts.size:
        counts = counts.sum(axis=0) if chosen is None else counts[chosen]
    sums[...] = counts.reshape(-1)


@op()
def score_histogram(x: In, label: In, weight: In, sums: Out, squash: bool, ignore: int | None) -> None:
    """sums = weights in bins of equal width over probabilities from 0 to 1: of label 1, then of label 0

    x has a score an element of label, or those of the classes 0 and 1 along axis 1; squash: they are made probabilities by
    the sigmoid, of two classes by the softmax.
    """
    bins = sums.size // 2
    if x.size != label.size:
        x = x[:, 1] - x[:, 0] if squash else x[:, 1]
    w = element_weights((x, label.reshape(x.shape)), weight, ignore)
    p = 0.5 * np.tanh(0.5 * x.astype(np.float64)) + 0.5 if squash else x
    at = np.clip(np.floor(p * bins), 0, bins - 1).astype(np.int64)
    at, w, true = at.reshape(-1), w.reshape(-1), label.reshape(-1) == 1
    sums[:bins] = np.bincount(at[true], w[true], bins)
    sums[bins:] = np.bincount(at[~true], w[~true], bins)
