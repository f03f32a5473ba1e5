"""dltrain import: nets of other programs as configs of ours."""

from __future__ import annotations

from pathlib import Path

import click

from dltrain.options import JSON, QUIET, options


@click.group("import")
def import_() -> None:
    """Make a config, and weights, of a net of Caffe's or an ONNX file."""


OUT = click.option("-o", "--out", required=True, metavar="DIR", help="The folder to write NAME.yaml and weights.h5 into.")
FORCE = click.option("--force", is_flag=True, help="Overwrite files that are there.")


@import_.command()
@click.argument("files", nargs=-1, required=True, metavar="NET.prototxt [SOLVER.prototxt] [WEIGHTS] [MEAN] [STATE]")
@click.option("--stage", "stages", multiple=True, metavar="NAME", help="A stage of the net's state.  Repeatable.")
@click.option("--level", type=int, default=0, metavar="N", help="The level of the net's state.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=C,H,W", help="The shape of data not here.  Repeatable.")
@options(OUT, FORCE, JSON, QUIET)
def caffe(files: tuple[str, ...], stages: tuple[str, ...], level: int, shapes: tuple[str, ...], out: str, **rest: bool) -> None:
    """A net, a solver, weights (.caffemodel, .caffemodel.h5), a mean (.binaryproto) and a state (.solverstate), in any order.

    The solver alone is enough where the net that it names lies beside it.  A second net is the one that is deployed, or tested.
    """
    from dltrain.console import Console
    from dltrain.translate.caffe_draft import Wish
    from dltrain.translate.caffe_import import import_caffe

    wish = Wish(stages, level, dict(map(shape, shapes)), rest["force"])
    import_caffe(files, Path(out), wish, Console(rest["quiet"], rest["as_json"]))


@import_.command()
@click.argument("file", metavar="NET.onnx")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=C,H,W", help="The shape of a sample that is open.  Repeatable.")
@options(OUT, FORCE, JSON, QUIET)
def onnx(file: str, shapes: tuple[str, ...], out: str, force: bool, as_json: bool, quiet: bool) -> None:
    """A net with its weights, as PyTorch, Keras and others write it.  All operators that have no layer are told at once."""
    from dltrain.console import Console
    from dltrain.translate.onnx_import import import_onnx

    import_onnx(file, Path(out), dict(map(shape, shapes)), force, Console(quiet, as_json))


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """data=3,224,224"""
    name, equals, sizes = text.partition("=")
    words = sizes.replace("x", ",").split(",")
    if not equals or not name or not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise click.BadParameter(f"'{text}' is no shape; write --shape data=3,224,224")
    return name, tuple(map(int, words))
