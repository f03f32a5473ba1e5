"""What comes out of a net that is used: its last blobs, or others by name, as probabilities with the names of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dltrain.engine import Engine
from dltrain.errors import ConfigError, did_you_mean
from dltrain.graph import Builder, Demand
from dltrain.source import Arrays, Shape
from dltrain.wiring import Line

Reading = Literal["as it is", "exp", "softmax", "sigmoid", "score"]
LAST: dict[str, Reading] = {"Softmax": "as it is", "Sigmoid": "as it is", "LogSoftmax": "exp"}
SOFT, EACH = ("SoftmaxWithLoss", "FocalLoss"), ("SigmoidCrossEntropyLoss", "FocalLoss")


@dataclass
class Output:
    """One blob: how it is read, and what its classes are called (None: its rows are no rows of classes)."""

    name: str
    reading: Reading = "score"
    axis: int = 1
    words: list[str] | None = None

    @property
    def measure(self) -> str:
        return "score" if self.reading == "score" else "probability"

    def made(self, x: Any) -> Any:
        """softmax   e^x / sum e^x along `axis`        sigmoid   1 / (1 + e^-x)        exp   e^x"""
        if self.reading == "softmax":
            y = np.exp(x - x.max(axis=self.axis, keepdims=True))
            return y / y.sum(axis=self.axis, keepdims=True)
        if self.reading == "sigmoid":
            return 1 / (1 + np.exp(-np.clip(x, -80, 80)))
        return np.exp(x) if self.reading == "exp" else x

    def top(self, row: Any, count: int) -> list[dict[str, Any]]:
        """The likeliest classes of a sample, the first of equals first."""
        flat = row.reshape(-1)
        best = np.argsort(-flat, kind="stable")[:count]
        return [{"class": int(n), "name": (self.words or [])[n], self.measure: float(flat[n])} for n in best]


class Judgement:
    """The outputs of a net in phase deploy: blobs that were named, as they are; else its ends, as probabilities."""

    def __init__(self, engine: Engine, names: dict[str, list[str]], blobs: tuple[str, ...] = ()) -> None:
        self.engine, self.net, self.names = engine, engine.net, names
        known = self.net.shapes["deploy"]
        for name in blobs:
            if name not in known:
                raise ConfigError(f"--blob {name}: there is no such blob; {did_you_mean(name, known)}")
        self.outputs = [Output(name) for name in blobs] or [self.output(name) for name in self.ends()]

    @property
    def blobs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.outputs)

    def ends(self) -> list[str]:
        """The blobs that nobody else reads where nothing is scored."""
        net = self.net
        builder = Builder(net.lines, net.order, net.fields, net.store, Demand("deploy", (1,), "deploy"), net.seed)
        goals = builder.goals([number for number in net.order if "deploy" in net.lines[number].phases])
        return [net.lines[number].tops[0] for number in goals if net.lines[number].tops]

    def output(self, name: str) -> Output:
        """How an end is read: by its own layer, or by its loss; it may be the layer's bottom that the loss reads."""
        number, line = next((number, line) for number, line in enumerate(self.net.lines) if name in line.tops)
        own = self.judges(number)
        judges = own or (self.judges(line.refs[0].line) if len(line.refs) == 1 else [])
        x = self.net.shapes["deploy"][name]
        made = Output(name, LAST.get(line.layer.type, "score"))
        for judge in own if line.layer.type not in LAST else ():
            label = self.label(judge)
            if judge.layer.type in SOFT and (label is None or len(label) < len(x) - 1 or judge.layer.type not in EACH):
                made.reading, made.axis = "softmax", judge.layer.class_axis(getattr(judge.layer, "axis", 1), x)
            elif judge.layer.type in EACH:
                made.reading = "sigmoid"
        labels = [self.label(judge) for judge in judges]
        of_classes = made.reading != "score" or any(label is not None and label.dtype == "index" for label in labels)
        if of_classes and len(x) >= 2 and x[1] > 1 and x.count == x[0] * x[1]:
            made.words = self.words(judges, x[1])
        return made

    def judges(self, number: int) -> list[Line]:
        """The losses, then the metrics, that hold a line against a label."""
        found = [
            line for line in self.net.lines if line.layer.kind != "layer" and len(line.refs) > 1 and line.refs[0].line == number
        ]
        return sorted(found, key=lambda line: line.layer.kind != "loss")

    def label(self, judge: Line) -> Shape | None:
        return self.net.fields.get(judge.refs[1].field or "")

    def words(self, judges: list[Line], count: int) -> list[str]:
        """What people call the classes; their numbers where nobody said."""
        said = [self.names.get(judge.refs[1].field or "", []) for judge in judges]
        return next((words for words in said if len(words) == count), [str(number) for number in range(count)])

    def of(self, batch: Arrays, size: int) -> Arrays:
        """The outputs for a batch, a row a sample."""
        self.engine.forward("deploy", batch, upto=self.blobs)
        made = {}
        for output in self.outputs:
            rows = batch[output.name] if output.name in batch else self.engine.blob(output.name)
            if len(rows) != size:
                raise ConfigError(f"'{output.name}' has {len(rows)} rows for {size} samples; choose another blob with --blob")
            made[output.name] = output.made(rows)
        return made
