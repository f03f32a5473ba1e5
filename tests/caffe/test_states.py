"""include and exclude rules: Caffe's own table (its test of FilterNet), and what it refuses."""

from __future__ import annotations

import pytest

from dltrain.caffe.states import keeps
from dltrain.caffe.text import parse_text
from dltrain.errors import DataError


@pytest.mark.parametrize(("rules", "phase", "level", "stages", "kept"), [
    ("", "TEST", 0, "", True),
    ("include { phase: TRAIN }", "TRAIN", 0, "", True), ("include { phase: TRAIN }", "TEST", 0, "", False),
    ("exclude { phase: TRAIN }", "TRAIN", 0, "", False), ("exclude { phase: TRAIN }", "TEST", 0, "", True),
    ("include { }", "TEST", 0, "", True), ("exclude { }", "TEST", 0, "", False),
    ("include { stage: 's' }", "TEST", 0, "", False), ("include { stage: 's' }", "TEST", 0, "s", True),
    ("exclude { stage: 's' }", "TEST", 0, "", True), ("exclude { stage: 's' }", "TEST", 0, "s", False),
    ("include { stage: 'a' stage: 'b' }", "TEST", 0, "a", False), ("include { stage: 'a' stage: 'b' }", "TEST", 0, "a b", True),
    ("exclude { stage: 'a' stage: 'b' }", "TEST", 0, "a", True), ("exclude { stage: 'a' stage: 'b' }", "TEST", 0, "a b", False),
    ("include { stage: 'a' } include { stage: 'b' }", "TEST", 0, "a", True),
    ("include { stage: 'a' } include { stage: 'b' }", "TEST", 0, "b c", True),
    ("exclude { stage: 'a' } exclude { stage: 'b' }", "TEST", 0, "b", False),
    ("include { not_stage: 'b' }", "TEST", 0, "a", True), ("include { not_stage: 'a' }", "TEST", 0, "a", False),
    ("include { not_stage: 'b' not_stage: 'a' }", "TEST", 0, "a", False),
    ("exclude { not_stage: 'b' }", "TEST", 0, "a", False), ("exclude { not_stage: 'a' }", "TEST", 0, "a", True),
    ("include { min_level: 3 }", "TEST", 0, "", False), ("include { min_level: 3 }", "TEST", 3, "", True),
    ("include { min_level: 3 }", "TEST", 7, "", True), ("exclude { min_level: 3 }", "TEST", 0, "", True),
    ("include { max_level: -3 }", "TEST", 0, "", False), ("include { max_level: -3 }", "TEST", -7, "", True),
    ("exclude { max_level: -3 }", "TEST", -7, "", False),
    ("include { min_level: 0 max_level: 0 }", "TEST", 0, "", True), ("include { min_level: 0 max_level: 0 }", "TEST", 1, "", False),
    ("include { min_level: 2 phase: TRAIN }", "TRAIN", 4, "", True), ("include { min_level: 2 phase: TRAIN }", "TEST", 4, "", False),
    ("exclude { min_level: 2 phase: TRAIN }", "TRAIN", 4, "", False), ("exclude { min_level: 2 phase: TRAIN }", "TEST", 4, "", True),
    ("include { min_level: 2 phase: TRAIN } include { phase: TEST }", "TRAIN", 4, "", True),
    ("include { min_level: 2 phase: TRAIN } include { phase: TEST }", "TEST", 4, "", True),
    ("include { min_level: 2 phase: TRAIN } include { phase: TEST }", "TRAIN", 1, "", False),
])  # fmt: skip
def test_the_rules(rules: str, phase: str, level: int, stages: str, kept: bool) -> None:
    layer = parse_text(f"name: 'a' {rules}", "LayerParameter", "n")
    assert keeps(layer, phase, level, stages.split()) is kept


def test_an_all_in_one_net_by_its_stages() -> None:
    """Data for training, data for validation, an input for use; a loss but in use."""
    net = parse_text(
        """layer { name: "train" include { phase: TRAIN } } layer { name: "val" include { phase: TEST not_stage: "deploy" } }
           layer { name: "in" include { stage: "deploy" } } layer { name: "ip" } layer { name: "loss" exclude { stage: "deploy" } }""",
        "NetParameter", "n",
    )  # fmt: skip

    def names(*state: object) -> str:
        return " ".join(layer["name"] for layer in net.all("layer") if keeps(layer, *state))  # type: ignore[arg-type]

    assert names("TRAIN", 0, []) == "train ip loss"
    assert names("TEST") == "val ip loss"
    assert names("TEST", 0, {"deploy"}) == "in ip"


def test_both_kinds_of_rule_are_refused() -> None:
    layer = parse_text("name: 'a' include { } exclude { }", "LayerParameter", "n")
    with pytest.raises(DataError, match="layer 'a' has both include and exclude rules; Caffe takes one kind or the other"):
        keeps(layer, "TEST")
