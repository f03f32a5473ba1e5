"""dltrain show, draw, time and init: the commands that look at a net without training it."""

from __future__ import annotations

from typing import Any

import click

from dltrain.options import DEVICE, JSON, QUIET, SETTINGS, options

GRAPH = click.option("--graph", metavar="GRAPH", help="train, test, deploy, or to:BLOB; without it the whole net.")


@click.command()
@click.argument("config", metavar="CONFIG|RUN")
@click.option("--yaml", "as_yaml", is_flag=True, help="The config with the base merged and all blocks laid out, to train on.")
@options(SETTINGS, GRAPH, JSON)
def show(config: str, as_yaml: bool, settings: tuple[str, ...], graph: str | None, as_json: bool) -> None:
    """Print the net as a table: shapes, parameters, FLOPs, memory, receptive fields.  No data are needed."""
    if as_yaml and (as_json or graph is not None):
        raise click.UsageError("--yaml prints a config, the whole of it; leave --json and --graph out")
    from dltrain.console import Console
    from dltrain.show import show as made

    made(config, settings, graph, as_yaml, Console(as_json=as_json))


@click.command()
@click.argument("config", metavar="CONFIG|RUN")
@click.option("-o", "--out", required=True, metavar="FILE", help="net.svg, .pdf, .png, or .dot for Graphviz.")
@click.option("--direction", type=click.Choice(["down", "right"]), default="down", show_default=True, help="Which way it runs.")
@click.option("--collapse", is_flag=True, help="Repeats of a block that are alike are drawn once, with × 3 behind the name.")
@options(SETTINGS, GRAPH, JSON)
def draw(
    config: str, out: str, direction: Any, collapse: bool, settings: tuple[str, ...], graph: str | None, as_json: bool
) -> None:
    """Draw the net, a box for each layer, blocks around them, shapes on the arrows."""
    from dltrain.console import Console
    from dltrain.draw import draw as made

    made(config, settings, graph, out, direction, collapse, Console(as_json=as_json))


@click.command()
@click.argument("name", required=False)
@click.option("-o", "--out", metavar="FILE", help="Where to write it; NAME.yaml in this folder if not said.")
@click.option("--list", "as_list", is_flag=True, help="Tell which there are.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@options(JSON)
def init(name: str | None, out: str | None, as_list: bool, force: bool, as_json: bool) -> None:
    """Write a config to begin with: NAME is one of --list."""
    if as_list == (name is not None):
        raise click.UsageError("give a NAME, or --list")
    from dltrain import zoo
    from dltrain.console import Console

    if name is None:
        zoo.listing(Console(as_json=as_json))
    else:
        zoo.write(name, out, force, Console(as_json=as_json))


@click.command("time")
@click.argument("config", metavar="CONFIG|RUN")
@click.option(
    "--phase", type=click.Choice(["train", "test"]), default="train", show_default=True, help="A training step, or a pass."
)
@click.option("--iterations", type=click.IntRange(min=1), default=20, show_default=True, help="How often each call is timed.")
@options(SETTINGS, DEVICE, JSON, QUIET)
def timed(
    config: str, phase: str, iterations: int, settings: tuple[str, ...], device: str | None, as_json: bool, quiet: bool
) -> None:
    """Tell how long each layer takes, and how much of the machine it uses.  No data are needed: a batch is made up."""
    from dltrain.console import Console
    from dltrain.timing import time as made

    made(config, settings, phase, iterations, device, Console(quiet, as_json))
