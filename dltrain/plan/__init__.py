"""From calls to a plan: elide, fuse, schedule, segment, place.  Placing is last: lifetimes are only true of the final order."""

from dltrain.plan.plan import Plan, make_plan

__all__ = ["Plan", "make_plan"]
