"""Update rules, one a file, and the schedules of the rate."""

from dltrain.solvers import nesterov, schedules, sgd

__all__ = ["nesterov", "schedules", "sgd"]
