"""From calls to a plan: elide, fuse, schedule, segment, place.  Lifetimes are only true of the final order, so placing is last."""

from dltrain.plan.plan import Plan, make_plan

__all__ = ["Plan", "make_plan"]
