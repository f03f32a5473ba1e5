"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

RUNS = click.option("--runs", default="runs", show_default=True, metavar="DIR", help="Where run folders are made.")
SETTINGS = click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE",
                        help="Override a key: solver.base_lr=1e-3, net.conv1.num_output=32.  Repeatable.")  # fmt: skip
DEVICE = click.option(
    "--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or reference; dltrain devices tells what can be used."
)
JSON = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on stdout.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="The result only, no progress.")
SPLIT = click.option("--split", metavar="NAME", default="test", show_default=True, help="Which samples: test, val, train.")
WEIGHTS = click.option("--weights", metavar="FILE", help="A snapshot to take the weights from.")


def options(*added: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(added):
            command = option(command)
        return command

    return decorate
