"""dltrain check-layer FILE: the common exam for layers that a user has written."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from dltrain import catalogue  # noqa: F401  so that a name that is taken is refused
from dltrain.errors import CheckFailed, ConfigError, Refusal
from dltrain.registry import LAYERS
from dltrain.testing import check_gradient, check_shapes


def examine(file: str) -> str:
    """Each layer that the file registers, on the bottoms it names in `exam`; CheckFailed (exit 7) where one does not pass.

    A layer says in a class attribute what to try: exam = [({"num_output": 3}, (2, 5)), …], keys and the shapes of the bottoms.
    """
    before = set(LAYERS)
    load(Path(file))
    names = [name for name in LAYERS if name not in before]
    if not names:
        raise ConfigError(f'{file}: registers no layer; decorate a class with @layer("Name") from dltrain.layer')
    passed = []
    for name in names:
        trials = getattr(LAYERS[name], "exam", None)
        if not trials:
            raise ConfigError(f"{file}: {name} does not say what to try; add exam = [({{keys}}, (2, 3, 4, 5))] to the class")
        for keys, *shapes in trials:
            sit(name, keys, shapes)
        passed.append(f"{name}: passed {len(trials)} trials: every element written, gradients right to 1e-6 in float64")
    return "\n".join(passed)


def sit(name: str, keys: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    try:
        layer = LAYERS[name](**keys)
        check_shapes(layer, *shapes)
        check_gradient(layer, *shapes)
    except Refusal as refusal:
        raise CheckFailed(f"{name} {keys} on {shapes}: refuses '{refusal.key}': {refusal}") from None


def load(path: Path) -> None:
    """Runs the file as a module; its own errors are shown as they are."""
    spec = importlib.util.spec_from_file_location(f"dltrain_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
