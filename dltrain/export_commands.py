"""dltrain export: trained nets as others read them."""

from __future__ import annotations

import click

from dltrain.options import JSON, QUIET, SETTINGS, WEIGHTS, options


@click.group()
def export() -> None:
    """Write a trained net as ONNX or as files of Caffe."""


@export.command()
@click.argument("source", metavar="RUN|CONFIG")
@click.option("-o", "--out", required=True, metavar="FILE", help="net.onnx")
@click.option("--opset", type=click.IntRange(17, 21), default=17, show_default=True, help="The version of ONNX's operators.")
@click.option("--batch", metavar="N|any", help="For so many samples at a time; any is the default, where the net allows it.")
@click.option("--blob", "blobs", multiple=True, metavar="NAME", help="A blob to put out instead of the net's ends.  Repeatable.")
@options(WEIGHTS, SETTINGS, JSON, QUIET)
def onnx(source: str, out: str, opset: int, batch: str | None, blobs: tuple[str, ...], weights: str | None,
         settings: tuple[str, ...], as_json: bool, quiet: bool) -> None:  # fmt: skip
    """Write the net of phase deploy, with the best weights of a RUN, as one .onnx file.

    The file is checked, and its output held against ours where onnxruntime is there: exit code 7 where they differ.
    """
    from dltrain.console import Console
    from dltrain.translate.to_onnx import export as made

    made(source, out, weights, settings, opset, batch, blobs, Console(quiet, as_json))


@export.command()
@click.argument("source", metavar="RUN|CONFIG")
@click.option("-o", "--out", required=True, metavar="DIR", help="The folder to write into.")
@click.option("--deploy", is_flag=True, help="Only deploy.prototxt and the weights, not what trains.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@options(WEIGHTS, SETTINGS, JSON, QUIET)
def caffe(source: str, out: str, deploy: bool, force: bool, weights: str | None, settings: tuple[str, ...],
          as_json: bool, quiet: bool) -> None:  # fmt: skip
    """Write NAME_train_test.prototxt, deploy.prototxt, solver.prototxt and the weights, for Caffe 1.0.

    Layers that Caffe has not are told, all at once.
    """
    from dltrain.console import Console
    from dltrain.translate.to_caffe import export as made

    made(source, out, weights, settings, deploy, force, Console(quiet, as_json))
