"""Names in a config and the classes behind them, one dictionary a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T", bound=type)


class Registry(dict[str, Any]):
    """A dictionary that a decorator fills; the same name twice is a TypeError at import."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, name: str) -> Callable[[T], T]:
        @dataclass_transform(kw_only_default=True)
        def register(cls: T) -> T:
            made: Any = dataclass(kw_only=True)(cls)
            if name in self:
                raise TypeError(f"{self.kind} '{name}' is already {self[name].__module__}.{self[name].__name__}")
            made.type = name
            self[name] = made
            return cls

        return register


LAYERS = Registry("layer type")
SOLVERS = Registry("solver")
POLICIES = Registry("lr_policy")
FILLERS = Registry("filler")
SOURCES = Registry("source")
TRANSFORMS = Registry("transform step")
