"""The sections of a config as dataclasses: their fields are the keys, with types, bounds and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from dltrain.fields import (
    Count,
    Finite,
    Interval,
    LinePath,
    Name,
    Natural,
    NonNegative,
    Positive,
    Span,
    bare,
    chosen,
    listed,
    one_or_more,
    some,
    span,
)
from dltrain.order import Sampling, Shuffle
from dltrain.splits import Taken

NOT_YET = {  # words of the language whose meaning is not built yet
    "top": ("stages", "updates", "graphs", "distributed", "tune", "tests"),
    "line": ("unroll",),
}


def shuffled(value: Any) -> Any:
    """true, false or {window: N}"""
    if isinstance(value, bool):
        return {} if value else None
    return value


def size(value: Any) -> Any:
    """ "2 GiB", "500 MB" or a number of bytes."""
    match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*)\s*([kKMGT]i?B|B)?\s*", str(value)) if not isinstance(value, bool) else None
    if match is None or not isinstance(value, int | float | str):
        raise ValueError(f"cannot be {value!r}; write a size such as 500 MB or 2 GiB")
    unit = (match[2] or "B").upper()
    return float(match[1]) * (1024 if "I" in unit else 1000) ** "BKMGT".index(unit[0])


def count_of_time(value: Any) -> Any:
    """A span that must be a time."""
    made = span(value)
    if made.unit != "seconds":
        raise ValueError("takes a time, such as 5 min")
    return made


_SHUFFLE = {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"window": {"type": "integer", "minimum": 1}}}]}
_KINDS = {"enum": ["balanced", "weighted", "lengths"]}
_SAMPLED = {"type": "object", "properties": {"type": _KINDS, "by": {"type": "string"}}, "required": ["type"]}
_SAMPLING = {"anyOf": [_KINDS, _SAMPLED]}
_SIZE = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}
Size = Annotated[float, BeforeValidator(size), WithJsonSchema(_SIZE)]
Time = Annotated[Span, BeforeValidator(count_of_time), WithJsonSchema({"type": "string"})]


@dataclass(kw_only=True)
class Split:
    """What differs for train."""

    batch_size: Count | None = None
    source: chosen("SOURCES") = None  # type: ignore[valid-type]
    transform: chosen("TRANSFORMS", many=True) = None  # type: ignore[valid-type]


@dataclass(kw_only=True)
class Part(Split, Taken):
    """What differs for another split: its own source, or what it takes out of train."""


@dataclass(kw_only=True)
class Making:
    """Who makes batches ahead of time: so many threads, or so many processes; 0 threads: nobody, the loop waits for each."""

    threads: Natural = 0
    processes: Natural = 0


@dataclass(kw_only=True)
class DataKeys:
    """Where samples come from, and what is done to them before the net reads them."""

    source: chosen("SOURCES")  # type: ignore[valid-type]
    batch_size: Count = 64
    transform: chosen("TRANSFORMS", many=True) = field(default_factory=list)  # type: ignore[valid-type]
    train: Split | None = None
    val: Part | None = None
    test: Part | None = None
    extra: dict[str, Part] = field(default_factory=dict)
    epoch_size: Count | None = None
    shuffle: Annotated[Shuffle | None, BeforeValidator(shuffled), WithJsonSchema(_SHUFFLE)] = field(default_factory=Shuffle)
    sampling: Annotated[Sampling | None, bare("type"), WithJsonSchema(_SAMPLING)] = None
    drop_last: bool = False
    trim: bool = False
    workers: Annotated[Making, bare("threads")] | None = None
    prefetch: Count | None = None
    cache: Size = 0.0
    on_error: Literal["stop", "skip"] = "stop"
    timeout: Time = Span(600, "seconds")

    def parts(self) -> list[tuple[str, Split]]:
        """What is said of single splits."""
        said = {"train": self.train, "val": self.val, "test": self.test, **self.extra}
        return [(name, part) for name, part in said.items() if part is not None]

    def taken(self) -> list[tuple[str, Taken]]:
        """The splits that take samples out of train."""
        return [(name, part) for name, part in self.parts() if isinstance(part, Part) and part.way is not None]


@dataclass(kw_only=True)
class Weights:
    """Weights to begin with: every layer with parameters but the fresh ones finds them in the files by its name."""

    file: Annotated[tuple[str, ...], BeforeValidator(some), one_or_more({"type": "string"})]
    fresh: Annotated[tuple[str, ...], BeforeValidator(listed), one_or_more({"type": "string"})] = ()


Phase = Literal["train", "test", "deploy"]
PHASE = {"enum": ["train", "test", "deploy"]}


@dataclass(kw_only=True)
class ParamKeys:
    """What may be said of one parameter of a layer."""

    filler: chosen("FILLERS") = None  # type: ignore[valid-type]
    lr_mult: NonNegative | None = None
    decay_mult: NonNegative | None = None
    freeze: bool | None = None
    share: str | None = None
    transpose: bool | None = None


@dataclass(kw_only=True)
class LineKeys:
    """What any line of the net may say beside the keys of its layer."""

    name: LinePath
    type: str
    bottom: Any = None
    phase: Annotated[tuple[Phase, ...], BeforeValidator(some), one_or_more(PHASE)] | None = None
    param: dict[str, Any] | None = None
    loss_weight: Finite | None = None
    propagate_down: Annotated[tuple[bool, ...], BeforeValidator(some), one_or_more({"type": "boolean"})] | None = None


@dataclass(kw_only=True)
class Display:
    """The loss as a line (or in the bar), and as a row of metrics.csv, every so often."""

    interval: Interval = Span(100)


@dataclass(kw_only=True)
class Test:
    """The loop scores val (or, where there is none, test) every so often; `initial` also before the first update."""

    interval: Interval = Span(1, "epochs")
    initial: bool = False


@dataclass(kw_only=True)
class Snapshots:
    """A snapshot every so often; the last `keep` stay, and one of the best weights by the score `best`."""

    interval: Interval = Span(1, "epochs")
    keep: Count = 2
    best: str | None = None


@dataclass(kw_only=True)
class EarlyStopping:
    """Stop when the score `monitor` has not improved by more than min_delta for `patience`; the best weights are reported."""

    monitor: str = "loss"
    mode: Literal["min", "max"] | None = None
    patience: Interval
    min_delta: NonNegative = 0.0


@dataclass(kw_only=True)
class Loop:
    """How long to train, and what happens around the updates."""

    max_iter: Interval | None = None
    max_epochs: Positive | None = None
    max_time: Interval | None = None
    display: Annotated[Display, bare("interval")] | None = field(default_factory=Display)
    test: Annotated[Test, bare("interval")] | None = field(default_factory=Test)
    snapshot: Annotated[Snapshots, bare("interval")] | None = field(default_factory=Snapshots)
    early_stopping: EarlyStopping | None = None


@dataclass(kw_only=True)
class EngineKeys:
    """Where the run is computed, and how."""

    device: str = "auto"
    precision: Literal["strict", "fp32", "tf32", "bf16", "fp16"] = "fp32"
    threads: Natural = 0  # 0: one a core
    deterministic: Literal[True] = True
    graph: bool = True  # false: on a GPU call by call, with a look for NaN after each


@dataclass(kw_only=True)
class Top:
    """The top level of a config; its sections are checked one by one."""

    version: Literal[1] = 1
    name: Name | None = None
    seed: Natural = 1
