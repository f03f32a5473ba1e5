"""A solver section as Caffe's solver: the rule, the policy, and the loop in iterations."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

from dltrain.caffe.message import Message
from dltrain.caffe.schema import MESSAGES
from dltrain.config import Config
from dltrain.fields import Span
from dltrain.policy import Policy
from dltrain.translate.caffe_solver import KEYS, POLICIES
from dltrain.translate.to_caffe_layers import Lacking

ELSEWHERE = ("clip_weights", "max_norm", "weight_ema", "regularization_start")  # what a rule has here and nowhere in Caffe


class Solver:
    """What is written, and how many iterations an epoch has (None where the data are not there to tell)."""

    def __init__(self, config: Config, per_epoch: Fraction | None, notes: list[str]) -> None:
        self.config, self.per_epoch, self.notes = config, per_epoch, notes
        self.made = Message("SolverParameter")

    def put(self, key: str, value: Any) -> None:
        told = MESSAGES["SolverParameter"][key]
        if value != told.default:
            self.made.put(key, float(value) if told.type == "float" else value)

    def iterations(self, span: Span, what: str) -> int:
        """A length in iterations; an epoch is rarely a whole number of them."""
        if span.unit == "seconds":
            raise Lacking(f"{what}: Caffe counts no time")
        if span.unit == "epochs" and self.per_epoch is None:
            raise Lacking(f"{what}: how many iterations {span} are hangs on the data, which are not there")
        length = span.length(self.per_epoch or Fraction(1))
        if length != int(length):
            self.notes.append(f"{what}: {span} are {float(length):g} iterations; {ceil(length)} are written")
        return ceil(length)


def solver_of(config: Config, net: str, per_epoch: Fraction | None, tests: int | None, notes: list[str]) -> Message:
    """The whole solver; `tests` is how many batches there are to score."""
    rule: Any = config.solver
    assert rule is not None
    one = Solver(config, per_epoch, notes)
    if rule.type not in KEYS:
        raise Lacking(f"Caffe has no solver {rule.type}")
    strange = [key for key in ELSEWHERE if getattr(rule, key) is not None]
    strange += [f"{key} that changes in time" for key in rule.moved]
    if strange:
        raise Lacking(f"Caffe's has no {', '.join(strange)}")
    one.made.put("net", net)
    one.put("type", rule.type)
    one.made.put("base_lr", float(rule.base_lr))
    policy(one, rule.lr_policy)
    for key in KEYS[rule.type]:
        one.put(key, getattr(rule, key))
    if rule.weight_decay:
        one.put("weight_decay", rule.weight_decay)
        one.put("regularization_type", rule.regularization_type)
    if rule.clip_gradients is not None:
        one.put("clip_gradients", rule.clip_gradients)
    one.put("iter_size", rule.iter_size)
    loop(one, tests)
    one.made.put("snapshot_prefix", config.name)
    if "seed" in config.document.value:
        one.made.put("random_seed", config.seed)
    if config.engine.device == "cpu":
        one.made.put("solver_mode", "CPU")
    return one.made


def policy(one: Solver, said: Policy | None) -> None:
    kind = "fixed" if said is None else said.type
    if kind not in POLICIES:
        raise Lacking(f"Caffe has no lr_policy {kind}")
    one.made.put("lr_policy", kind)
    for key in POLICIES[kind]:
        value: Any = getattr(said, key)
        if key == "stepvalue":
            one.made.add(key, *(one.iterations(each, f"lr_policy.{key}") for each in value))
        else:
            one.made.put(key, one.iterations(value, f"lr_policy.{key}") if isinstance(value, Span) else float(value))


def loop(one: Solver, tests: int | None) -> None:
    """max_iter, display, test and snapshot; what Caffe has not is told."""
    said = one.config.loop
    ends = {"max_iter": said.max_iter, "max_epochs": None if said.max_epochs is None else Span(said.max_epochs, "epochs")}
    known = {key: span for key, span in ends.items() if span is not None}
    if not known:
        raise Lacking("Caffe needs max_iter or max_epochs")
    if len(known) > 1 and one.per_epoch is None:
        known.pop("max_epochs")
        one.notes.append("max_epochs is left out: how many iterations they are hangs on the data, which are not there")
    first = min(known, key=lambda key: known[key].length(one.per_epoch or Fraction(1)))
    one.made.put("max_iter", one.iterations(known[first], first))
    if said.display is not None:
        one.made.put("display", one.iterations(said.display.interval, "display"))
    if said.test is not None:
        count = tests
        if count is None:
            count, words = (
                1,
                "test_iter: 1 is written: how many batches there are to score hangs on the data, which are not there",
            )
            one.notes.append(words)
        one.made.add("test_iter", count)
        one.made.put("test_interval", one.iterations(said.test.interval, "test"))
        one.put("test_initialization", said.test.initial)
    if said.snapshot is not None:
        one.made.put("snapshot", one.iterations(said.snapshot.interval, "snapshot"))
        one.notes += ["the best weights are not kept apart by Caffe"] if said.snapshot.best is not None else []
    one.notes += ["Caffe does not stop early"] if said.early_stopping is not None else []
