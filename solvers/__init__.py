"""Update rules, one a file, and the policies of the rate."""

from dltrain.solvers import adadelta, adagrad, adam, adamw, annealing, lamb, lars, nesterov, rmsprop, schedules, sgd

__all__ = ["adadelta", "adagrad", "adam", "adamw", "annealing", "lamb", "lars", "nesterov", "rmsprop", "schedules", "sgd"]
