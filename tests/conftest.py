"""What all tests share: full registries, and the command as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import dltrain.catalogue  # noqa: F401

hypothesis.settings.register_profile("here", deadline=None)  # a busy machine is no mistake
hypothesis.settings.load_profile("here")

ROOT = Path(__file__).parent.parent
SMALL = ROOT / "tests" / "fixtures" / "small.yaml"


@pytest.fixture
def small() -> Path:
    return SMALL


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `dltrain ARGUMENTS` in tmp_path as a process of its own."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "dltrain", *map(str, arguments)]
        options.setdefault("env", environment())
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, **options)

    return run


@pytest.fixture
def result(command: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., dict[str, Any]]:
    """The JSON that a command gives; the command must succeed."""

    def run(*arguments: object) -> dict[str, Any]:
        done = command(*arguments, "--json", "--quiet")
        assert done.returncode == 0, done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    return run


def environment(**more: str) -> dict[str, str]:
    """The environment of a child process that finds dltrain whether it is installed or not."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **more}
