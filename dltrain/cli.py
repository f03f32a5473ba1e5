"""The commands: parse, call, print errors.  Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from typing import Any

import click

from dltrain import __version__
from dltrain.data_commands import data
from dltrain.errors import DltrainError, Mistakes
from dltrain.export_commands import export
from dltrain.import_commands import import_
from dltrain.net_commands import draw, init, show, timed
from dltrain.options import DEVICE, JSON, QUIET, RUNS, SETTINGS, SPLIT, WEIGHTS, options
from dltrain.weight_commands import convert, coordinates, probe, weights


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dltrain")
def cli() -> None:
    """Trains neural networks from a text file: data, net and solver as YAML, checked before anything runs.

    \b
    dltrain train configs/lenet.yaml      train, and keep everything in runs/lenet/…
    dltrain test runs/lenet               score the test set with the best weights
    dltrain predict runs/lenet FILE…      say what is in files of yours
    dltrain train --resume runs/lenet     go on as if it had never stopped

    Exit codes: 0 ok, 1 bug, 2 usage or config, 3 diverged, 4 data, 5 out of memory, 6 snapshot, 7 check failed,
    75 stopped by a signal and resumable, 130 a second Ctrl-C.
    """


@cli.command()
@click.argument("config", required=False)
@click.option("--resume", metavar="RUN", help="Go on with a run: its folder, or runs/NAME for the newest.")
@click.option("--weights", multiple=True, metavar="FILE", help="Weights to begin with, by layer name.  Repeatable.")
@click.option("--no-graph", is_flag=True, help="On a GPU: call by call, with a look for NaN after each.  engine.graph=false")
@options(SETTINGS, DEVICE, RUNS, JSON, QUIET)
def train(config: str | None, resume: str | None, weights: tuple[str, ...], runs: str, no_graph: bool, **rest: Any) -> None:
    """Train what CONFIG describes, or go on with a run."""
    rest["settings"] = (*rest["settings"], *(["engine.graph=false"] if no_graph else []))
    if (config is None) == (resume is None):
        raise click.UsageError("give a CONFIG, or --resume RUN")
    if resume is not None and weights:
        raise click.UsageError("--weights begins a new run; a resumed one has its own")
    from dltrain import launch
    from dltrain.console import Console

    console = Console(rest["quiet"], rest["as_json"])
    if resume is not None:
        launch.resume(resume, rest["settings"], rest["device"], console)
    elif config is not None:
        launch.start(config, rest["settings"], weights, rest["device"], runs, console)


@cli.command()
@click.argument("config", metavar="CONFIG|RUN")
@options(SPLIT, WEIGHTS, SETTINGS, DEVICE, JSON, QUIET)
def test(
    config: str, split: str, weights: str | None, settings: tuple[str, ...], device: str | None, as_json: bool, quiet: bool
) -> None:
    """Score a held-out set: the best weights of a run where there are any, else the last."""
    from dltrain import apply
    from dltrain.console import Console

    apply.test(config, split, weights, settings, device, Console(quiet, as_json))


@cli.command()
@click.argument("config", metavar="CONFIG|RUN")
@click.option(
    "--blob", "blobs", multiple=True, required=True, metavar="NAME", help="A blob of the net, such as ip1.  Repeatable."
)
@click.option("-o", "--out", required=True, metavar="FILE", help="feats.h5, .npz or .csv")
@options(SPLIT, WEIGHTS, SETTINGS, DEVICE, JSON, QUIET)
def extract_features(config: str, blobs: tuple[str, ...], out: str, split: str, weights: str | None, settings: tuple[str, ...],
                     device: str | None, as_json: bool, quiet: bool) -> None:  # fmt: skip
    """Write blobs of a whole split to a file: each sample once, in order, with labels and ids."""
    from dltrain import apply
    from dltrain.console import Console

    apply.extract_features(config, blobs, out, split, weights, settings, device, Console(quiet, as_json))


@cli.command()
@click.argument("run")
@click.argument("what", nargs=-1, metavar="[FILE…|SOURCE]")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes of each sample.")
@click.option("--blob", "blobs", multiple=True, metavar="NAME", help="A blob of the net instead of its outputs.  Repeatable.")
@click.option("-o", "--out", metavar="FILE", help="All numbers to a .csv, .h5, .npz or .json file.")
@click.option("--split", metavar="NAME", help="Samples of the SOURCE, or of the run's own data: test, val, train.")
@options(WEIGHTS, SETTINGS, DEVICE, JSON, QUIET)
def predict(run: str, what: tuple[str, ...], top: int, blobs: tuple[str, ...], out: str | None, split: str | None,
            weights: str | None, settings: tuple[str, ...], device: str | None, as_json: bool, quiet: bool) -> None:  # fmt: skip
    """Say what the net of RUN makes of your files (of a folder: all in it), or of the samples of a SOURCE.

    A SOURCE is a name, such as digits, or '{type: …, its keys}'.  The data of the training need not be there for files.
    """
    from dltrain import predict as predicting
    from dltrain.console import Console

    wish = predicting.Wish(top, blobs, out)
    predicting.predict(run, what, split, weights, settings, device, wish, Console(quiet, as_json))


@cli.command()
@click.argument("name", required=False)
def layers(name: str | None) -> None:
    """Print the catalogue of layers, or one of them: formula, shapes, keys with defaults, an example line."""
    from dltrain.reference import entry, index
    from dltrain.registry import LAYERS

    click.echo(entry(LAYERS, name) if name else index(LAYERS))


@cli.command()
@click.argument("name", required=False)
def solvers(name: str | None) -> None:
    """Print the update rules and the policies of the rate, or one of them."""
    from dltrain.reference import entry, index
    from dltrain.registry import POLICIES, SOLVERS

    if name:
        click.echo(entry(POLICIES if name in POLICIES else SOLVERS, name))
    else:
        click.echo(f"{index(SOLVERS)}\n\nlr_policy\n{index(POLICIES)}")


@cli.command()
@click.argument("name", required=False)
def sources(name: str | None) -> None:
    """Print the sources of samples, or one of them: fields, keys with defaults, an example."""
    from dltrain.reference import entry, index
    from dltrain.registry import SOURCES

    click.echo(entry(SOURCES, name) if name else index(SOURCES))


@cli.command()
@click.argument("name", required=False)
def transforms(name: str | None) -> None:
    """Print the steps of a transform, or one of them: formula, shapes, keys with defaults, an example."""
    from dltrain.reference import entry, index
    from dltrain.registry import TRANSFORMS

    click.echo(entry(TRANSFORMS, name) if name else index(TRANSFORMS))


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def check_layer(file: str) -> None:
    """Put the layers of a Python file of yours through the exam that all layers sit."""
    from dltrain.exam import examine

    click.echo(examine(file))


@cli.command()
@options(JSON)
def devices(as_json: bool) -> None:
    """Tell which devices can be used, and what stands in the way of the others."""
    from dltrain import devices as found
    from dltrain.console import Console

    rows = found.devices()
    lines = [f"{device.name:10s} {'usable' if device.usable else 'not usable':11s} {device.about}" for device in rows]
    note = found.slow_kernels()
    Console(as_json=as_json).result(
        {"devices": [vars(device) for device in rows], "note": note}, "\n".join([*lines, *([note] if note else [])])
    )


@cli.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors (VS Code's YAML extension)."""
    import json

    from dltrain.schema import schema as made

    click.echo(json.dumps(made(), indent=1))


cli.add_command(data)
cli.add_command(import_)
cli.add_command(weights)
cli.add_command(export)
for command in (show, draw, timed, init, probe, convert, coordinates):
    cli.add_command(command)


def main() -> None:
    """Runs a command; our messages go to stderr with their exit code; anything else is a bug and shows its traceback."""
    try:
        cli.main(standalone_mode=False)
    except DltrainError as error:
        print(error if isinstance(error, Mistakes) else f"dltrain: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except MemoryError:
        print("dltrain: out of memory; a smaller data.batch_size needs less", file=sys.stderr)
        sys.exit(5)
    except BrokenPipeError:
        sys.exit(0)
