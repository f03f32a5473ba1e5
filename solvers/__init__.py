"""Update rules, one a file, and the policies of the rate and of other numbers."""

from dltrain.solvers import (
    adadelta,
    adagrad,
    adam,
    adamw,
    annealing,
    lamb,
    lars,
    mean_momentum,
    nesterov,
    ramps,
    rmsprop,
    schedules,
    sgd,
    sgdw,
    sum_momentum,
)

__all__ = [
    "adadelta", "adagrad", "adam", "adamw", "annealing", "lamb", "lars", "mean_momentum", "nesterov", "ramps", "rmsprop",
    "schedules", "sgd", "sgdw", "sum_momentum",
]  # fmt: skip
