"""dltrain probe: how much a simple classifier makes of features: a line through them, or the classes of the nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.console import Console
from dltrain.errors import DataError
from dltrain.feature_files import Features, read
from dltrain.regression import SoftmaxRegression
from dltrain.splits import ranked

L2 = (1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # the strongest first
K = (1, 3, 5, 7, 9, 15, 21, 31)
Z = 1.959963984540054  # the normal distribution has 95 % within so many deviations
AT_ONCE = 1 << 24  # numbers of a table of distances that are held at a time
SMALL = 1 << 25  # multiplications of a product: with fewer, threads wait for one another longer than they work


@dataclass
class Result:
    """What a classifier said of samples that it had not seen: how many were right, with which setting, right by class."""

    name: str
    setting: str
    settings: list[float] = field(default_factory=list)  # one where there is a test set, else one a fold
    right: Any = None  # (N) of bool

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(int(self.right.sum()), len(self.right))

    def values(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy, "correct": int(self.right.sum()), "samples": len(self.right),
                "interval": list(self.interval), self.setting: self.settings}  # fmt: skip


def wilson(right: int, count: int) -> tuple[float, float]:
    """(p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n):  the shares that `right` of `count` do not speak against

    at 95 %, z = 1.96.  Wilson, Journal of the American Statistical Association 22, 1927.
    """
    p, z2 = right / count, Z * Z
    middle, reach = p + z2 / (2 * count), Z * sqrt(p * (1 - p) / count + z2 / (4 * count * count))
    return max(0.0, (middle - reach) / (1 + z2 / count)), min(1.0, (middle + reach) / (1 + z2 / count))


# --- the classifiers ---
class Linear(SoftmaxRegression):
    """Softmax regression; the setting is l2, the strongest first, so that each fit begins where an easier one ended."""

    def scores(self, other: Any, setting: float) -> Any:
        """(N, C): log probabilities"""
        return self.fit(setting).log_probabilities(other)


class Euclidean:
    """The nearest rows vote; the setting is how many."""

    def __init__(self, x: Any, labels: Any, classes: int) -> None:
        self.x, self.labels, self.classes = x, labels, classes
        self.known: tuple[Any, Any] = (None, None)  # what was asked for last, and the classes of its neighbours

    def scores(self, other: Any, setting: float) -> Any:
        """(N, C): votes of each class; of equals the one that has the nearest member."""
        if self.known[0] is not other:
            self.known = other, self.nearest(other)
        k, made = int(setting), np.zeros((len(other), self.classes))
        voters = self.known[1][:, :k]
        for label in range(self.classes):
            mine = voters == label
            made[:, label] = mine.sum(1) - np.where(mine.any(1), mine.argmax(1), k) / (k + 1)
        return made

    def nearest(self, other: Any) -> Any:
        """(N, most): the classes of the nearest rows, the nearest first, by the place of a row where distances are equal."""
        most = min(max(K), len(self.x))
        square, made = (self.x * self.x).sum(1), np.empty((len(other), most), np.int64)
        size = max(1, AT_ONCE // len(self.x))
        for start in range(0, len(other), size):
            distance = square - 2 * other[start : start + size] @ self.x.T  # but for what is the same for all rows of x
            near = np.argpartition(distance, most - 1, axis=1)[:, :most]
            rank = np.lexsort((near, np.take_along_axis(distance, near, 1)), axis=1)
            made[start : start + size] = self.labels[np.take_along_axis(near, rank, 1)]
        return made


class Cosine(Euclidean):
    """The rows at the smallest angles vote: the nearest, once all have length 1."""

    def __init__(self, x: Any, labels: Any, classes: int) -> None:
        super().__init__(unit(x), labels, classes)

    def nearest(self, other: Any) -> Any:
        return super().nearest(unit(other))


def unit(x: Any) -> Any:
    length = np.sqrt((x * x).sum(1, keepdims=True))
    return x / np.where(length, length, 1)


@dataclass(frozen=True)
class Probe:
    """A classifier, and what its setting is called, may be, and is chosen by."""

    name: str
    setting: str
    settings: tuple[float, ...]
    learn: Callable[[Any, Any, int], Any]  # of x, labels, classes
    by: Callable[[Any, Any], float]  # of scores and labels; the smaller the better


def surprise(scores: Any, labels: Any) -> float:
    return -float(scores[np.arange(len(labels)), labels].sum())


def errors(scores: Any, labels: Any) -> float:
    return float((scores.argmax(1) != labels).sum())


PROBES = (Probe("linear", "l2", L2, Linear, surprise), Probe("k-NN cosine", "k", K, Cosine, errors),
          Probe("k-NN Euclidean", "k", K, Euclidean, errors))  # fmt: skip


# --- choosing and judging ---
def standard(x: Any, *others: Any) -> list[Any]:
    """(x - mean) / deviation, each column by itself, both of the first array; a column that does not vary becomes 0."""
    mean, deviation = x.mean(0), x.std(0)
    deviation = np.where(deviation > 1e-12 * np.abs(x).max(0, initial=0), deviation, np.inf)
    return [(one - mean) / deviation for one in (x, *others)]


def folds_of(labels: Any, folds: int, seed: int, purpose: str) -> Any:
    """A fold for each row, by the seed, every class in proportion."""
    return ranked(seed, purpose, labels, len(labels)) * folds // len(labels)


def choose(probe: Probe, x: Any, labels: Any, classes: int, folds: int, seed: int) -> float:
    """The setting that does best on each fold by what is learnt from the others; of equals the first.

    The search ends where two in a row were no better than the best: a weaker l2 only follows the training samples further.
    """
    fold, models = folds_of(labels, folds, seed, "probe: choosing"), []
    for number in range(folds):
        out = fold == number
        inner, held = standard(x[~out], x[out])
        models.append((probe.learn(inner, labels[~out], classes), held, labels[out]))
    possible = [one for one in probe.settings if probe.setting != "k" or one <= min(len(model.x) for model, _, _ in models)]
    best, least, worse = possible[0], np.inf, 0
    for setting in possible:
        total = sum(probe.by(model.scores(held, setting), truth) for model, held, truth in models)
        worse = worse + 1 if total >= least else 0
        best, least = (setting, total) if total < least else (best, least)
        if worse == 2 and probe.setting == "l2":
            break
    return best


def judge(probe: Probe, x: Any, labels: Any, classes: int, other: Any, folds: int, seed: int) -> tuple[Any, float]:
    """The classes of `other` by what is learnt from x, with the setting chosen within x."""
    setting = choose(probe, x, labels, classes, folds, seed)
    inner, held = standard(x, other)
    return probe.learn(inner, labels, classes).scores(held, setting).argmax(1), setting


def results(train: Features, test: Features | None, folds: int, seed: int) -> list[Result]:
    """Each probe on the test set; without one, on each fold in turn, chosen and learnt on the others."""
    from threadpoolctl import threadpool_limits

    known, labels = np.unique(train.labels, return_inverse=True)
    small = train.x.size * len(known) < SMALL
    with threadpool_limits(1 if small else None, "blas"):
        return [judged(probe, train, test, known, labels, folds, seed) for probe in PROBES]


def judged(probe: Probe, train: Features, test: Features | None, known: Any, labels: Any, folds: int, seed: int) -> Result:
    result = Result(probe.name, probe.setting)
    if test is not None:
        said, setting = judge(probe, train.x, labels, len(known), test.x, folds, seed)
        result.right, result.settings = known[said] == test.labels, [setting]
        return result
    fold, result.right = folds_of(labels, folds, seed, "probe: judging"), np.zeros(len(labels), bool)
    for number in range(folds):
        out = fold == number
        said, setting = judge(probe, train.x[~out], labels[~out], len(known), train.x[out], folds, seed)
        result.right[out] = said == labels[out]
        result.settings.append(setting)
    return result


# --- the command ---
def probe(file: str, test: str | None, label: str, blob: str | None, folds: int, seed: int, console: Console) -> None:
    """dltrain probe"""
    train = read(Path(file), blob, label)
    other = None if test is None else read(Path(test), train.blob, label)
    check(train, other, folds)
    judged = train if other is None else other
    made = results(train, other, folds, seed)
    known, counted = np.unique(train.labels, return_counts=True)
    common = int(known[counted.argmax()])
    chance = float((judged.labels == common).mean())
    classes = [int(one) for one in np.unique(judged.labels)]
    table = {
        train.name_of(one): {result.name: float(result.right[judged.labels == one].mean()) for result in made} for one in classes
    }
    counts = {train.name_of(one): int((judged.labels == one).sum()) for one in classes}
    values = {"blob": train.blob, "features": train.x.shape[1], "train": len(train.x), "samples": len(judged.x), "folds": folds,
              "seed": seed, "chance": chance, "probes": {one.name: one.values() for one in made},
              "classes": {name: {"samples": counts[name], **table[name]} for name in counts}}  # fmt: skip
    console.result(values, text(train, other, made, values, train.name_of(common)))


def check(train: Features, test: Features | None, folds: int) -> None:
    """DataError where there is nothing to learn, or nothing alike to judge."""
    count = len(np.unique(train.labels))
    if count < 2:
        raise DataError(f"{train.path}: all samples are of one class; there is nothing to tell apart")
    if len(train.x) < 2 * folds:
        raise DataError(f"{train.path}: {len(train.x)} samples are too few for {folds} folds; say --folds 2, or get more")
    if test is not None and test.x.shape[1] != train.x.shape[1]:
        raise DataError(f"{test.path}: has {test.x.shape[1]} features a sample where {train.path} has {train.x.shape[1]}; "
                        "extract both with the same net and blob")  # fmt: skip


def text(train: Features, test: Features | None, made: list[Result], values: dict[str, Any], common: str) -> str:
    """For people."""
    where = (
        f"{len(test.x):,} samples of {test.path.name}" if test is not None else "each sample by what is learnt without its fold"
    )
    rows = [f"{train.path.name}: {len(train.x):,} samples x {train.x.shape[1]:,} features of {train.blob}; judged: {where}",
            f"{'chance':<15} {values['chance']:6.1%}   (always {common}, the commonest in training)"]  # fmt: skip
    for one in made:
        low, high = (f"{share:.1%}" for share in one.interval)
        settings = ", ".join(f"{value:g}" for value in dict.fromkeys(one.settings))
        share = f"{int(one.right.sum())} of {len(one.right)}"
        rows.append(f"{one.name:<15} {one.accuracy:6.1%}   {low} to {high}   {share}   {one.setting} {settings}")
    rows.append(
        f"intervals: Wilson, 95 %; settings chosen by {values['folds']} folds within the training part, seed {values['seed']}"
    )
    wide = max(len("class"), *(len(name) for name in values["classes"]))
    rows.append(f"{'class':<{wide}}  samples  " + "  ".join(one.name for one in made))
    for name, row in values["classes"].items():
        cells = "  ".join(f"{row[one.name]:{len(one.name)}.1%}" for one in made)
        rows.append(f"{name:<{wide}}  {row['samples']:7}  {cells}")
    return "\n".join(rows)
