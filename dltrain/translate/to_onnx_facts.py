"""What a model of ONNX says of itself besides its nodes: what its inputs must be, what its outputs mean, where it is from."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from typing import Any

import numpy as np

from dltrain import __version__
from dltrain.chain import Link
from dltrain.joined import Joined
from dltrain.judgement import Output
from dltrain.source import Source
from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Sheet
from dltrain.translate.trained import Trained

ORDERS = {"rgb": "RGB", "bgr": "BGR", "grey": "grey"}
COLOURED = ("cifar10", "cifar100")  # RGB, though no key of theirs says so
LONGEST = 64  # numbers that are written as such; more are base64 of little-endian float32


def facts(made: Trained, sheet: Sheet, outputs: list[Output]) -> dict[str, str]:
    """The metadata: texts, and JSON where there is structure."""
    config = made.config
    said: dict[str, Any] = {
        "version": __version__, "net": config.name, "fingerprint": config.fingerprint,
        "weights": "" if made.file is None else made.file.name,
        "inputs": {name: of_input(made, name, sheet.sizes(tensor), tensor) for name, tensor in sheet.graph.inputs.items()},
        "outputs": {output.name: of_output(output) for output in outputs},
        "classes": {name: list(map(str, words)) for name, words in made.names.items()},
        "carried": sheet.carried,
    }  # fmt: skip
    return {f"dltrain.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in said.items() if value}


def of_input(made: Trained, name: str, sizes: list[Any], tensor: Tensor) -> dict[str, Any]:
    """The shape and order of what is read, and the steps of phase test that make it."""
    feed = made.config.feed
    source = feed.source.main if isinstance(feed.source, Joined) else feed.source
    links = [link for link in feed.plain_chain.links if link.top == name]
    given = source.fields.get(name)
    told: dict[str, Any] = {"type": "int64" if tensor.dtype == "index" else "float32", "shape": sizes}
    if name in feed.fields:
        told["source"] = {"type": source.type, "shape": None if given is None else list(given)}
        told["transform"] = [step(made, link) for link in links]
    order = channels(source, given)
    return told | ({"channels": order} if order and name == next(iter(source.fields), None) else {})


def channels(source: Source, given: Any) -> str | None:
    """The order of the channels that the source gives; the steps say whether they are moved."""
    if given is None or len(given) != 3:
        return None
    if source.type in COLOURED:
        return "RGB"
    return ORDERS.get(getattr(source, "color", ""))


def step(made: Trained, link: Link) -> dict[str, Any]:
    """A step of the transform with all its keys, and what it computed over the training split."""
    told = {item.name: getattr(link.step, item.name) for item in fields(link.step) if item.name not in ("phase", "top")}  # type: ignore[arg-type]
    state = link.step.state()
    if not state:
        return {link.step.type: told}
    if str(link.number) in made.unknown:
        return {link.step.type: told, "computed": "over training data that were not there when this was written"}
    return {link.step.type: told, "computed": {name: numbers(array) for name, array in state.items()}}


def numbers(array: Any) -> dict[str, Any]:
    array = np.ascontiguousarray(array, "<f4")
    flat = [float(str(value)) for value in array.reshape(-1)] if array.size <= LONGEST else None
    coded = {"values": flat} if flat is not None else {"base64": base64.b64encode(array.tobytes()).decode()}
    return {"shape": list(array.shape), **coded}


def of_output(output: Output) -> dict[str, Any]:
    """How an output is read: what is still to be done for probabilities, and the classes along its axis 1."""
    done = {"softmax": "softmax", "sigmoid": "sigmoid", "exp": "exp"}.get(output.reading)
    told: dict[str, Any] = {"is": "probabilities" if output.reading == "as it is" else "scores"}
    if done is not None:
        told["probabilities"] = done
    return told | ({"axis": output.axis} if done == "softmax" else {}) | ({"classes": output.words} if output.words else {})
