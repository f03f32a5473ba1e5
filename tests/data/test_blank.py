"""Blank: shapes are promised and opened alike, nothing can be read, and what is wrong is told with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain import catalogue  # noqa: F401
from dltrain.config import read
from dltrain.data.blank import Blank
from dltrain.errors import ConfigError, DataError
from dltrain.marks import parse
from dltrain.source import ANY_SIZE
from dltrain.tensor import Shape

NET = "\nnet: [{name: ip, type: InnerProduct, num_output: 2}]\n"


def config(source: str) -> Any:
    return read("net.yaml", need_solver=False, document=parse(f"data: {{source: {source}}}{NET}", "net.yaml"))


def test_its_fields_are_what_it_says_the_data_first() -> None:
    source = Blank(shapes={"data": (3, 8, 8), "words": (20,), "age": ()}, classes={"words": 50})
    source.open()
    assert source.fields == source.promised() == {"data": (3, 8, 8), "words": (20,), "age": ()}
    assert [shape.dtype for shape in source.fields.values()] == ["float", "index", "float"]
    assert source.classes == {"words": 50}


def test_a_net_is_read_and_checked_without_data() -> None:
    made = config("{type: blank, shapes: {data: [3, 4, 4]}}")
    assert made.net.shapes["deploy"]["ip"] == Shape((64, 2))
    assert made.net.store.parameters == 2 * 48 + 2
    assert config("{type: blank, shapes: {data: 5}}").net.store.parameters == 12


def test_there_is_nothing_to_read() -> None:
    source = Blank(shapes={"data": (2,)})
    source.open()
    with pytest.raises(DataError, match="blank: has shapes and no samples; name a source of yours in data.source"):
        source.read([0], {"data": np.zeros((1, 2))})


def test_pictures_may_differ_in_size_where_steps_make_them_alike() -> None:
    text = "{type: blank, shapes: {data: [3, any, any]}}, transform: [{resize: 4}]"
    made = config(text)
    assert made.feed.source.fields["data"] == (3, ANY_SIZE, ANY_SIZE)
    assert made.net.store.parameters == 2 * 48 + 2
    with pytest.raises(ConfigError, match="differ in size"):
        config("{type: blank, shapes: {data: [3, any, any]}}")


@pytest.mark.parametrize(("source", "words"), [
    ("{type: blank, shapes: {data: [3, -1]}}", "cannot be .3, -1.; write sizes from 1 on"),
    ("{type: blank, shapes: {data: [3, much]}}", "cannot be .3, 'much'.; write sizes"),
    ("{type: blank, shapes: {}}", r"net.yaml:1:38: data: blank: shapes must not be empty; write shapes: \{data: "),
    ("{type: blank, shapes: {data: [3, 0]}}", "1:45: data: source .blank.: .shapes.data. cannot be .3, 0.; write sizes from 1 on, such as .3, 224, 224., or any where it"),
    ("{type: blank, shapes: {data: [3]}, classes: {word: 4}}", "1:60: data: blank: classes: there is no field 'word'; known: data"),
    ("{type: blank}", "needs 'shapes'"),
])  # fmt: skip
def test_mistakes_have_their_place(source: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(source)
