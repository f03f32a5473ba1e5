"""Which layers a net has in a phase, at a level, with stages: the include and exclude rules of Caffe."""

from __future__ import annotations

from collections.abc import Collection

from dltrain.caffe.message import Message
from dltrain.errors import DataError


def keeps(layer: Message, phase: str, level: int = 0, stages: Collection[str] = ()) -> bool:
    """True for a layer that stays: one of its include rules is met, or none of its exclude rules, or it has no rules."""
    include, exclude = layer.all("include"), layer.all("exclude")
    if include and exclude:
        raise DataError(f"layer '{layer['name'] or ''}' has both include and exclude rules; Caffe takes one kind or the other")
    if include:
        return any(met(rule, phase, level, stages) for rule in include)
    return not any(met(rule, phase, level, stages) for rule in exclude)


def met(rule: Message, phase: str, level: int, stages: Collection[str]) -> bool:
    """True where the phase is the rule's, the level within its bounds, all of its stages there and none of its not_stages."""
    return (
        ("phase" not in rule or rule["phase"] == phase)
        and ("min_level" not in rule or level >= rule["min_level"])
        and ("max_level" not in rule or level <= rule["max_level"])
        and all(stage in stages for stage in rule.all("stage"))
        and not any(stage in stages for stage in rule.all("not_stage"))
    )
