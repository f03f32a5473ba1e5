"""dltrain weights, probe, convert, coordinates: the commands that look at what a net has learnt, and carry it over."""

from __future__ import annotations

import click

from dltrain.options import JSON, QUIET, SETTINGS, WEIGHTS, options


@click.group()
def weights() -> None:
    """Look at files of weights, compare them, convert them."""


@weights.command()
@click.argument("file", metavar="FILE|RUN")
@options(JSON, QUIET)
def show(file: str, as_json: bool, quiet: bool) -> None:
    """Print the arrays of a file: layers, shapes, least, mean and largest number, and whether all are finite."""
    from dltrain.console import Console
    from dltrain.weight_report import show as made

    made(file, Console(quiet, as_json))


@weights.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@options(JSON, QUIET)
def diff(first: str, second: str, as_json: bool, quiet: bool) -> None:
    """Tell in which arrays two files differ, and by how much; exit code 7 where they do."""
    from dltrain.console import Console
    from dltrain.weight_report import diff as made

    made(first, second, Console(quiet, as_json))


@weights.command("convert")
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
@click.option("--map", "names", metavar="FILE", help='A YAML mapping of layer names, {conv1: first, "body.*": "*", head: null}.')
@click.option("--by-order", is_flag=True, help="The layers of IN, in their order, are those of the net.")
@click.option("--net", metavar="CONFIG|RUN", help="The net that OUT is for: names and shapes are held against it.")
@options(JSON, QUIET)
def carry(source: str, out: str, names: str | None, by_order: bool, net: str | None, as_json: bool, quiet: bool) -> None:
    """Write weights in another form: .h5, .caffemodel, .caffemodel.h5, .npz or .safetensors, as the ending of OUT says."""
    from dltrain.console import Console
    from dltrain.weight_convert import convert as made

    made(source, out, names, by_order, net, Console(quiet, as_json))


@click.command()
@click.argument("features", metavar="FEATS")
@click.option("--test", metavar="FEATS2", help="Features to judge on; without it, FEATS in folds.")
@click.option("--label", default="label", show_default=True, metavar="NAME", help="The field of the classes.")
@click.option("--blob", metavar="NAME", help="Which blob, where FEATS has several.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Parts that settings are chosen by.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the folds.")
@options(JSON, QUIET)
def probe(features: str, test: str | None, label: str, blob: str | None, folds: int, seed: int, as_json: bool,
          quiet: bool) -> None:  # fmt: skip
    """Tell how good features are: accuracy of a linear classifier and of the nearest neighbours, with intervals.

    FEATS is what dltrain extract-features writes, .h5 or .npz.  Nothing is chosen on what is judged.
    """
    from dltrain.console import Console
    from dltrain.probe import probe as made

    made(features, test, label, blob, folds, seed, Console(quiet, as_json))


@click.command()
@click.argument("config", metavar="CONFIG|RUN")
@click.option("--fully-convolutional", "way", flag_value="wide", help="Linear layers that read maps become convolutions.")
@click.option("--inner-product", "way", flag_value="narrow", help="And back: convolutions over whole maps become linear layers.")
@click.option("-o", "--out", required=True, metavar="DIR", help="Where the config and weights.h5 are written.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@options(WEIGHTS, SETTINGS, JSON, QUIET)
def convert(config: str, way: str | None, out: str, force: bool, weights: str | None, settings: tuple[str, ...],
            as_json: bool, quiet: bool) -> None:  # fmt: skip
    """Write a net that slides over larger pictures, with the same weights, and show that it computes the same."""
    if way is None:
        raise click.UsageError("say --fully-convolutional, or --inner-product")
    from dltrain.console import Console
    from dltrain.sliding import convert as made

    made(config, way == "wide", out, weights, settings, force, Console(quiet, as_json))


@click.command()
@click.argument("config", metavar="CONFIG|RUN")
@click.argument("blobs", nargs=-1, metavar="[FROM TO]")
@options(SETTINGS, JSON, QUIET)
def coordinates(config: str, blobs: tuple[str, ...], settings: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Tell where the places of each blob lie in the picture, or how those of FROM lie on those of TO; check every Crop."""
    if len(blobs) not in (0, 2):
        raise click.UsageError("give two blobs, FROM and TO, or none")
    from dltrain.console import Console
    from dltrain.coordinates import coordinates as made

    made(config, blobs, settings, Console(quiet, as_json))
