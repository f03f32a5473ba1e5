"""Generated: samples that are computed and not stored, by a task of ours or by a Python file of one's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from dltrain.data.own_python import Generator
from dltrain.data.tasks import TASKS
from dltrain.errors import DataError, Refusal
from dltrain.fields import Natural, NonNegative
from dltrain.source import Arrays, Draw, Shape, Source, source

SIZES = {"train": 10_000, "val": 1_000, "test": 1_000}
MOST = 1 << 31  # samples


def per_split(value: Any) -> Any:
    """5000 as {train: 5000}; {train: 5000, test: 100} as it is."""
    made = {"train": value} if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(made, dict) and ("train" not in made or not set(made) <= set(SIZES)):
        raise ValueError("must be a number, or {train: 10000, val: 1000, test: 1000}, val and test as you like")
    return made


_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}
_SIZES = {"anyOf": [_COUNT, {"type": "object", "properties": dict.fromkeys(SIZES, _COUNT), "additionalProperties": False}]}
Sizes = Annotated[dict[str, Annotated[int, Field(ge=1, le=MOST)]], BeforeValidator(per_split), WithJsonSchema(_SIZES)]
Short = Annotated[int, Field(ge=1, le=1 << 20)]


@source("generated")
class Generated(Source):
    """Samples that are pure functions of (seed, index).

    task        an_bn, an_bn_cn, an_bn_cn_dn, an_b2n, an_bm_cnm    texts of languages that need counting: what comes next?
                adding    the sum of two marked numbers             copy       to say again what was said long ago
                parity    is the number of ones odd?                two_moons, spirals    two classes in the plane
    python      or a FILE.py of one's own with a function sample(seed, index) that gives {field: array}, the data first, all
                samples alike.  Whole numbers are index, but bytes of several numbers (pixels) are not
    samples     how many each split has; a bare number: of train, and there are no others

    length, gap, symbols, n, noise and turns are keys of single tasks, whose formulas are in data/tasks.py.
    """

    paths: ClassVar[tuple[str, ...]] = ("python",)

    task: Literal[
        "an_bn", "an_bn_cn", "an_bn_cn_dn", "an_b2n", "an_bm_cnm", "adding", "copy", "parity", "two_moons", "spirals"
    ] | None = None  # fmt: skip
    python: str | None = None
    samples: Sizes = field(default_factory=lambda: dict(SIZES))
    seed: Natural = 1
    length: Short | None = None
    gap: Short | None = None
    symbols: Short | None = None
    n: tuple[Short, Short] | None = None
    noise: NonNegative | None = None
    turns: NonNegative | None = None

    def open(self) -> None:
        if (self.task is None) == (self.python is None):
            raise DataError("generated: needs either a task, such as task: an_bn, or python: FILE.py")
        cuts = np.cumsum([0, *self.samples.values()])
        self.splits = {split: np.arange(start, end) for split, start, end in zip(self.samples, cuts, cuts[1:])}
        self.count = int(cuts[-1])
        given = {key: getattr(self, key) for key in ("length", "gap", "symbols", "n", "noise", "turns")}
        self.given = {key: value for key, value in given.items() if value is not None}
        takes = TASKS[self.task].keys if self.task else {}
        for key in self.given:
            if key not in takes:
                what = f"the task {self.task} has {', '.join(takes)}" if self.task else "a Python file has none of these keys"
                raise Refusal(f"source.{key}", f"generated: {key} is not for this: {what}")
        self.classes, self.names = {}, {}
        if self.task:
            self.describe(takes | self.given)
        else:
            self.generator = Generator(str(self.python))
            self.generator.sample(self.seed, 0)
            self.fields = self.generator.promised

    def describe(self, keys: dict[str, Any]) -> None:
        """The fields of a task, from a sample of it."""
        try:
            made = self.make(np.arange(1))
        except Refusal as refusal:
            raise Refusal(f"source.{refusal.key}", f"generated: {self.task}: {refusal}") from None
        self.fields = {name: Shape(rows.shape[1:], "float" if rows.dtype.kind == "f" else "index") for name, rows in made.items()}
        self.names = TASKS[str(self.task)].names(**keys)
        self.classes = {name: len(words) for name, words in self.names.items()}

    def __len__(self) -> int:
        return self.count

    @property
    def one_by_one(self) -> bool:
        return self.python is not None

    def make(self, indices: Any) -> Arrays:
        draw = Draw(self.seed, f"generated {self.task}", np.zeros(len(indices)), indices)
        return TASKS[str(self.task)].make(draw, **self.given)

    def read(self, indices: Any, out: Arrays) -> None:
        made = self.make(np.asarray(indices))
        for name, rows in out.items():
            rows[...] = made[name]

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        if self.python is None:
            return super().sample(index, wanted)
        made = self.generator.sample(self.seed, index)
        return {name: made[name] for name in wanted}

    def identify(self, index: int) -> str:
        return f"sample {index} of {self.task or self.python}"
