"""python -m benchmarks cpu [--net lenet] [--json FILE]; python -m benchmarks accuracy [NAME…] [--seeds 3] [--json FILE]"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from benchmarks import accuracy as scored
from benchmarks.nets import NETS
from benchmarks.race import race, table
from benchmarks.twins import TWINS


@click.group()
def cli() -> None:
    """Benchmarks; numbers of a shared machine are noisy, so look at the ratios."""


@cli.command()
@click.option("--net", "names", multiple=True, type=click.Choice(list(NETS)), help="Which nets; all where none is given.")
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(["eager", "compile", "jax"]),
    help="PyTorch eager or compiled, JAX; eager where none is given.",
)  # fmt: skip
@click.option("--threads", default=0, help="Threads for everybody; 0: one a core.")
@click.option("--rounds", default=5, show_default=True, help="How often the sides take turns.")
@click.option("--launches", default=3, show_default=True, help="How often all of them are launched anew.")
@click.option("--phase", type=click.Choice(["train", "test"]), default="train", show_default=True, help="test: inference.")
@click.option("--json", "file", type=click.Path(dir_okay=False), help="Also write all times here.")
def cpu(
    names: tuple[str, ...], peers: tuple[str, ...], threads: int, rounds: int, launches: int, phase: str, file: str | None
) -> None:
    """A training step (forward, backward, SGD with momentum and decay), or a forward pass with its loss; data in memory.

    Times are of steps after the first twenty (or 10 s of them), so compiling is not in them.  Memory is the most that a side
    has taken beyond what it took when its library was imported.
    """
    sides = ("ours", *(peers or ("eager",)))
    results = [race(name, sides, threads, rounds, phase=phase, launches=launches) for name in names or tuple(NETS)]
    click.echo(table(results))
    if file:
        Path(file).write_text(json.dumps(results, indent=2) + "\n")


@cli.command()
@click.option("--rounds", default=15, show_default=True, help="How often the sides take turns.")
@click.option("--json", "file", type=click.Path(dir_okay=False), help="Also write all figures here.")
def loading(rounds: int, file: str | None) -> None:
    """Batches from files and from memory, against PyTorch's DataLoader; how long training waits; the first batch."""
    from benchmarks import loading as measured

    made = measured.loading(rounds)
    click.echo(measured.text(made))
    if file:
        Path(file).write_text(json.dumps(made, indent=2) + "\n")


@cli.command()
@click.option("--iterations", default=10_000, show_default=True, help="How many; 1000 for a quick look.")
@click.option("--rounds", default=1, show_default=True, help="How often the sides take turns.")
@click.option("--threads", default=0, help="Threads for both; 0: one a core.")
@click.option("--json", "file", type=click.Path(dir_okay=False), help="Also write all figures here.")
def whole(iterations: int, rounds: int, threads: int, file: str | None) -> None:
    """LeNet on MNIST as a whole process, start and tests included, and the same loop in PyTorch."""
    from benchmarks import whole as measured

    made = measured.whole(iterations, rounds, threads)
    click.echo(measured.text(made))
    if file:
        Path(file).write_text(json.dumps(made, indent=2) + "\n")


@cli.command()
@click.option("--memory", is_flag=True, help="Instead: the memory of a process after 1,000 and after 10,000 steps.")
@click.option("--plan", is_flag=True, help="Instead: the time that a net of 150 layers takes to be planned.")
@click.option("--rounds", default=5, show_default=True, help="How often the sizes take turns.")
@click.option("--threads", default=0, help="0: one a core.")
@click.option(
    "--plot", type=click.Path(dir_okay=False), default="scaling.svg", show_default=True, help="Where the curves go: .svg or .png."
)
@click.option("--json", "file", type=click.Path(dir_okay=False), help="Also write all figures here.")
def scaling(memory: bool, plan: bool, rounds: int, threads: int, plot: str, file: str | None) -> None:
    """How the cost of a step grows with batch, depth and width, of a net of convolutions and of linear layers."""
    from benchmarks import scaling as measured

    if memory:
        made: dict[str, Any] = measured.memory(threads or len(os.sched_getaffinity(0)))
        click.echo(measured.lasted(made))
    elif plan:
        made = measured.planning()
        click.echo(measured.planned(made))
    else:
        made = measured.scaling(rounds, threads)
        measured.plot(made["curves"], Path(plot))
        click.echo(f"{measured.planned(made['planning'])}\n{made['machine']}; {made['date']}; curves in {plot}")
    if file:
        Path(file).write_text(json.dumps(made, indent=2) + "\n")


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seeds", default=3, show_default=True, help="Trainings a side: seeds 1 and up.")
@click.option("--threads", default=2, show_default=True, help="Threads for both.")
@click.option("--json", "file", type=click.Path(dir_okay=False), help="Also write all scores here.")
def accuracy(names: tuple[str, ...], seeds: int, threads: int, file: str | None) -> None:
    """Configs of configs/ on real data, and their twins in PyTorch: the share of test samples that each gets right."""
    results = [scored.compare(name, seeds, threads) for name in names or tuple(TWINS)]
    click.echo(scored.table(results))
    if file:
        Path(file).write_text(json.dumps(results, indent=2) + "\n")


cli()
