"""dltrain data: the commands that look at data, fetch them and turn them into another form."""

from __future__ import annotations

import click

from dltrain.options import JSON, QUIET, SETTINGS, options


@click.group()
def data() -> None:
    """Look at data, fetch known sets, convert them."""


@data.command("list")
@options(JSON)
def list_(as_json: bool) -> None:
    """The sets that are known by name: how large, on what terms, and where they are."""
    from dltrain import datasets
    from dltrain.console import Console

    datasets.show(Console(as_json=as_json))


@data.command()
@click.argument("name")
@options(JSON, QUIET)
def get(name: str, as_json: bool, quiet: bool) -> None:
    """Fetch the set NAME, unless it is here; what broke off is resumed."""
    from dltrain import datasets
    from dltrain.console import Console

    datasets.get(name, Console(quiet, as_json))


@data.command()
@click.argument("name")
@options(JSON)
def where(name: str, as_json: bool) -> None:
    """Tell where the files of the set NAME are; exit code 4 where they are not here."""
    from dltrain import datasets
    from dltrain.console import Console

    datasets.where(name, Console(as_json=as_json))


@data.command()
@click.argument("name")
@options(JSON)
def verify(name: str, as_json: bool) -> None:
    """Hold the files of the set NAME against their sums; exit code 4 where one is damaged."""
    from dltrain import datasets
    from dltrain.console import Console

    datasets.verify(name, Console(as_json=as_json))


@data.command()
@click.argument("config", metavar="CONFIG|RUN|SOURCE")
@options(SETTINGS, JSON, QUIET)
def stats(config: str, settings: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Count classes, sizes and values; find duplicates, unreadable samples, classes missing in a split."""
    from dltrain.console import Console
    from dltrain.stats import stats as made

    made(config, settings, Console(quiet, as_json))


@data.command()
@click.argument("config", metavar="CONFIG|RUN|SOURCE")
@click.option("-o", "--out", default="preview.png", show_default=True, metavar="FILE", help="The picture to write.")
@click.option("--augment", type=click.IntRange(min=0), metavar="INDEX",
              help="One training sample, by its place in train, as several epochs would have it.")  # fmt: skip
@options(SETTINGS, JSON)
def preview(config: str, out: str, augment: int | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Draw the first training batch as the net will see it."""
    from dltrain.console import Console
    from dltrain.preview import preview as made

    made(config, out, augment, settings, Console(as_json=as_json))


@data.command()
@click.argument("path", metavar="CONFIG|SOURCE")
@click.argument("out")
@options(SETTINGS, JSON, QUIET)
def convert(path: str, out: str, settings: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Write the samples of a source in another form, which the ending of OUT names."""
    from dltrain.console import Console
    from dltrain.convert import convert as made

    made(path, out, settings, Console(quiet, as_json))
