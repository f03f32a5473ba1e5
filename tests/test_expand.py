"""Nets as texts: blocks, repeats, conditions, shares and expressions, and where their mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config
from dltrain.config import Config
from dltrain.engine import Engine
from dltrain.errors import ConfigError
from dltrain.ops.backend import Reference

HEAD = "data: {source: digits, batch_size: 8}\n"
TAIL = """\
  - {name: ip, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
solver: {type: SGD, base_lr: 0.1, max_iter: 4}
"""
UNIT = """\
blocks:
  unit:
    params: {n: int, s: 1}
    inputs: [in]
    net:
      - {name: conv, type: Convolution, num_output: $n, kernel_size: 3, pad: 1, stride: $s, bottom: in}
      - {name: short, type: Convolution, num_output: $n, kernel_size: 1, stride: $s, bottom: in, when: s != 1}
      - {name: add, type: Eltwise, bottom: [conv, short]}
      - {name: relu, type: ReLU}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, *settings: str) -> Config:
    Path("net.yaml").write_text(text)
    return config.read("net.yaml", settings)


def refused(text: str, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, *settings)
    return str(caught.value).splitlines()


def net(lines: str, head: str = HEAD + UNIT) -> str:
    return f"{head}net:\n{lines}{TAIL}"


def names(made: Config) -> list[str]:
    return [line.name for line in made.net.lines]


def reads(made: Config, name: str) -> list[str]:
    """What a line reads, by name."""
    refs = next(line for line in made.net.lines if line.name == name).refs
    return [ref.field or made.net.lines[ref.line].tops[ref.top] for ref in refs]


def shape(made: Config, name: str) -> tuple[int, ...]:
    return tuple(made.net.shapes["train"][name])


# --- blocks ---
def test_a_block_becomes_its_lines_with_what_it_is_given() -> None:
    made = read(
        net("  - {name: first, type: Convolution, num_output: 4, kernel_size: 3, pad: 1}\n  - {name: a, type: unit, n: 4}\n")
    )
    assert names(made) == ["first", "a/conv", "a/add", "a/relu", "ip", "loss"]
    assert reads(made, "a/conv") == ["first"]
    assert reads(made, "a/add") == ["a/conv", "first"]  # short is left out: its reader gets its first bottom
    assert reads(made, "ip") == ["a/relu"]


def test_a_condition_that_holds_keeps_the_line() -> None:
    made = read(net("  - {name: a, type: unit, n: 4, s: 2}\n"))
    assert reads(made, "a/add") == ["a/conv", "a/short"]
    assert shape(made, "a/relu") == (8, 4, 4, 4)


def test_a_repeat_feeds_each_instance_with_the_one_before() -> None:
    made = read(net("  - {name: a, type: unit, n: $(4 * i), s: 2, repeat: 3}\n"))
    assert names(made)[:5] == ["a/1/conv", "a/1/short", "a/1/add", "a/1/relu", "a/2/conv"]
    assert [reads(made, f"a/{i}/conv") for i in (1, 2, 3)] == [["data"], ["a/1/relu"], ["a/2/relu"]]
    assert [shape(made, f"a/{i}/relu")[1] for i in (1, 2, 3)] == [4, 8, 12]
    assert reads(made, "ip") == ["a/3/relu"]


def test_a_layer_may_be_repeated_and_read_by_the_name_of_the_repeat() -> None:
    lines = "  - {name: c, type: Convolution, num_output: 3, kernel_size: 3, repeat: 2}\n  - {name: r, type: ReLU, bottom: c}\n"
    made = read(net(lines))
    assert names(made)[:3] == ["c/1", "c/2", "r"]
    assert (reads(made, "c/2"), reads(made, "r")) == (["c/1"], ["c/2"])


def test_a_repeat_of_none_passes_through() -> None:
    made = read(net("  - {name: a, type: unit, n: 4, repeat: 0}\n"))
    assert reads(made, "ip") == ["data"]


def test_inside_names_are_local_and_outside_they_carry_the_instance() -> None:
    lines = (
        "  - {name: conv, type: Convolution, num_output: 1, kernel_size: 3, pad: 1}\n"
        "  - {name: a, type: unit, n: 1}\n  - {name: sum, type: Eltwise, bottom: [a/conv, conv, a]}\n"
    )
    made = read(net(lines))
    assert reads(made, "a/conv") == ["conv"]
    assert reads(made, "sum") == ["a/conv", "conv", "a/relu"]


def test_blocks_use_blocks_and_several_inputs_by_place_or_by_role() -> None:
    head = (
        HEAD
        + UNIT
        + (
            "  two:\n    params: {n: int}\n    inputs: [left, right]\n    net:\n"
            "      - {name: l, type: unit, n: $n, bottom: left}\n      - {name: r, type: unit, n: $(n + 1), bottom: right}\n"
            "      - {name: both, type: Concat, bottom: [l, r, l/conv]}\n"
        )
    )
    for bottom in ("[data, c]", "{right: c, left: data}"):
        made = read(
            net(f"  - {{name: c, type: ReLU}}\n  - {{name: t, type: two, n: 1, bottom: {bottom}}}\n", head).replace("n + 1", "n")
        )
        assert reads(made, "t/both") == ["t/l/relu", "t/r/relu", "t/l/conv"]
        assert (reads(made, "t/l/conv"), reads(made, "t/r/conv")) == (["data"], ["c"])


def test_a_line_of_a_block_may_stand_below_its_reader() -> None:
    head = (
        HEAD
        + "blocks:\n  late:\n    net:\n      - {name: sum, type: Eltwise, bottom: [in, x]}\n      - {name: x, type: ReLU, bottom: in}\n"
    )
    made = read(net("  - {name: a, type: late}\n  - {name: s, type: ReLU, bottom: a/sum}\n", head))
    assert reads(made, "a/sum") == ["data", "a/x"]


def test_a_phase_of_a_block_is_that_of_its_lines() -> None:
    made = read(net("  - {name: a, type: unit, n: 1, phase: train}\n"))
    assert made.net.lines[0].phases == {"train"}
    assert "a/conv" not in made.net.shapes["test"]


def test_a_loss_is_not_what_the_next_line_reads() -> None:
    head = HEAD + (
        "blocks:\n  head:\n    net:\n      - {name: fc, type: InnerProduct, num_output: 10}\n"
        "      - {name: loss, type: EuclideanLoss, bottom: [fc, fc]}\n"
    )
    made = read(net("  - {name: a, type: head}\n", head).replace("{name: loss, type: Soft", "{name: main, type: Soft"))
    assert reads(made, "ip") == ["a/fc"]


# --- vars and expressions ---
def test_vars_hold_everywhere_and_may_use_each_other() -> None:
    text = "vars: {width: 4, twice: $(width * 2), rate: 0.05}\n" + net("  - {name: a, type: unit, n: $twice}\n")
    made = read(text.replace("batch_size: 8", "batch_size: $(width + 1)").replace("base_lr: 0.1", "base_lr: $rate"))
    assert shape(made, "a/relu") == (5, 8, 8, 8)
    assert made.solver is not None
    assert made.solver.base_lr == 0.05


def test_set_acts_before_expansion() -> None:
    made = read("vars: {width: 4}\n" + net("  - {name: a, type: unit, n: $width}\n"), "vars.width=6", "net.a.repeat=2")
    assert shape(made, "a/2/relu") == (8, 6, 8, 8)


def test_the_data_and_the_length_of_the_run_are_known() -> None:
    text = (
        net("")
        .replace("num_output: 10", "num_output: $data.classes")
        .replace("0.1,", "0.1, lr_policy: {type: step, stepsize: $(solver.max_iter // 2), gamma: 0.5},")
    )
    made = read(text)
    assert shape(made, "ip") == (8, 10)
    assert made.solver is not None
    assert made.solver.lr_policy.stepsize.amount == 2


def test_an_expression_inside_a_text() -> None:
    head = (
        HEAD
        + 'blocks:\n  pick:\n    params: {k: int}\n    inputs: [one, two]\n    net: [{name: r, type: ReLU, bottom: $("one" if k == 1 else "two")}]\n'
    )
    made = read(net("  - {name: c, type: ReLU}\n  - {name: p, type: pick, k: 2, bottom: [data, c]}\n", head))
    assert reads(made, "p/r") == ["c"]
    lines = "  - {name: c, type: ReLU, repeat: 3}\n  - {name: s, type: ReLU, bottom: c/$k}\n"
    assert reads(read("vars: {k: 2}\n" + net(lines)), "s") == ["c/2"]


# --- share ---
def weights(made: Config) -> dict[str, Any]:
    return {f"{layer}.{role}": part.name for (layer, role), part in (made.net.store.segments | made.net.store.shared).items()}


def test_share_takes_the_settings_and_all_parameters_of_a_line() -> None:
    lines = (
        "  - {name: a, type: Convolution, num_output: 1, kernel_size: 3, pad: 1}\n  - {name: b, share: a}\n"
        "  - {name: c, share: a, bottom: data}\n  - {name: s, type: Eltwise, bottom: [b, c]}\n"
    )
    made = read(net(lines))
    assert weights(made) == {
        "a.weight": "a.weight", "a.bias": "a.bias", "b.weight": "a.weight", "b.bias": "a.bias",
        "c.weight": "a.weight", "c.bias": "a.bias", "ip.weight": "ip.weight", "ip.bias": "ip.bias",
    }  # fmt: skip
    assert (reads(made, "b"), reads(made, "c")) == (["a"], ["data"])


def test_share_between_blocks_shares_line_by_line() -> None:
    lines = "  - {name: a, type: unit, n: 3, s: 2}\n  - {name: b, share: a, bottom: data}\n  - {name: s, type: Eltwise, bottom: [a, b]}\n"
    made = read(net(lines))
    assert names(made)[4:8] == ["b/conv", "b/short", "b/add", "b/relu"]
    assert weights(made)["b/conv.weight"] == "a/conv.weight"
    assert weights(made)["b/short.bias"] == "a/short.bias"
    assert made.net.store.parameters == read(net("  - {name: a, type: unit, n: 3, s: 2}\n")).net.store.parameters


def test_the_instances_of_a_repeat_may_share_with_the_first() -> None:
    lines = "  - {name: c, type: Convolution, num_output: 1, kernel_size: 3, pad: 1, repeat: 3, share: c/1}\n"
    made = read(net(lines))
    assert {weights(made)[f"c/{i}.weight"] for i in (1, 2, 3)} == {"c/1.weight"}


def test_what_is_shared_keeps_the_settings_that_it_has_there() -> None:
    lines = (
        "  - {name: a, type: Convolution, num_output: $(i + 1), kernel_size: 3, pad: 1, repeat: 2}\n"
        "  - {name: b, share: a/1, bottom: data, repeat: 1}\n"
    )
    made = read(net(lines))
    assert [shape(made, name)[1] for name in ("a/1", "a/2", "b/1")] == [2, 3, 2]


def test_a_parameter_may_be_shared_within_a_block() -> None:
    head = HEAD + (
        "blocks:\n  twice:\n    net:\n      - {name: a, type: Convolution, num_output: 1, kernel_size: 3, pad: 1}\n"
        "      - {name: b, type: Convolution, num_output: 1, kernel_size: 3, pad: 1, param: {weight: {share: a.weight}}}\n"
    )
    made = read(net("  - {name: t, type: twice, repeat: 2}\n", head))
    assert weights(made)["t/2/b.weight"] == "t/2/a.weight"
    assert weights(made)["t/2/b.bias"] == "t/2/b.bias"


def test_shared_lines_learn_from_both_uses() -> None:
    lines = "  - {name: a, type: Convolution, num_output: 1, kernel_size: 3, pad: 1}\n  - {name: b, share: a}\n"
    made = read(net(lines))
    engine = Engine(made.net, Reference(), made.solver)
    engine.initialise(1)
    before = engine.memory.logical(made.net.store.segments["a", "weight"].handle.data).copy()
    assert made.solver is not None
    engine.step([made.feed.train_batch_now(0)], made.solver.rates(0, made.horizon))
    after = engine.memory.logical(made.net.store.segments["a", "weight"].handle.data)
    assert abs(after - before).max() > 0
    assert np.isfinite(after).all()


# --- patterns over expanded names ---
def test_patterns_reach_into_blocks() -> None:
    lines = "  - {name: a, type: unit, n: 2, repeat: 2}\n"
    made = read(net(lines).replace("max_iter: 4", 'max_iter: 4, param: {"a/1/*": {freeze: true}, "*/conv.bias": {lr_mult: 2}}'))
    parts = made.net.store.segments
    assert [part.name for part in parts.values() if part.frozen] == ["a/1/conv.weight", "a/1/conv.bias"]
    assert parts["a/2/conv", "bias"].spec.lr_mult == 2
    told = refused(net(lines).replace("max_iter: 4", 'max_iter: 4, param: {"a/3/*": {freeze: true}}'))
    assert told[0].startswith("net.yaml:") and "param 'a/3/*' matches nothing" in told[0]


# --- blocks from files ---
def test_a_block_of_another_config_up_to_a_blob() -> None:
    Path("body.yaml").write_text(
        HEAD
        + "net:\n  - {name: c, type: Convolution, num_output: 3, kernel_size: 3}\n  - {name: r, type: ReLU}\n  - {name: far, type: ReLU}\n"
    )
    made = read(net("  - {name: b, type: body}\n", HEAD + "blocks: {body: {file: body.yaml, to: r}}\n"))
    assert names(made)[:2] == ["b/c", "b/r"]
    assert reads(made, "ip") == ["b/r"]
    assert made.values["blocks"]["body"]["net"][0]["name"] == "c"  # the run's config needs no other file


@pytest.mark.parametrize(("said", "words"), [
    ("{file: none.yaml}", "block 'body': there is no file"),
    ("{file: body.yaml, to: x}", "has no line 'x'; did you mean|has no line 'x'; known: c"),
    ("{file: body.yaml, weights: w.h5}", "block 'body': 'weights' is not yet built; load them with weights:"),
    ("{file: body.yaml, ot: c}", "block 'body': 'ot' is unknown; did you mean 'to'"),
])  # fmt: skip
def test_blocks_of_files_that_cannot_be(said: str, words: str) -> None:
    Path("body.yaml").write_text("net:\n  - {name: c, type: ReLU}\n")
    told = refused(net("", HEAD + f"blocks: {{body: {said}}}\n"))
    assert any(__import__("re").search(words, line) for line in told), told


# --- mistakes ---
@pytest.mark.parametrize(("lines", "told"), [
    ("  - {name: a, type: unit}\n", "net.yaml:12:5: layer 'a' (unit): block 'unit' needs 'n'; add n: …"),
    ("  - {name: a, type: unit, n: x}\n", "net.yaml:12:30: layer 'a' (unit): 'n' must be int, not 'x'"),
    ("  - {name: a, type: unit, n: 1, m: 2}\n",
     "net.yaml:12:33: layer 'a' (unit): block 'unit' has no parameter 'm'; known: n, s"),
    ("  - {name: a, type: unit, n: 1, s: true}\n", "net.yaml:12:36: layer 'a' (unit): 's' must be a number, not True"),
    ("  - {name: a, type: unit, n: $k}\n", "net.yaml:12:30: layer 'a' (unit): there is no 'k'; known: data.classes"),
    ("  - {name: a, type: unit, n: 1, bottom: [data, label]}\n",
     "net.yaml:12:41: layer 'a' (unit): block 'unit' has 1 inputs (in), not 2"),
    ("  - {name: a, type: unit, n: 1, bottom: {inn: data}}\n",
     "net.yaml:12:47: layer 'a' (unit): block 'unit' has no input 'inn'; did you mean 'in'?"),
    ("  - {name: a, type: unit, n: 1, repeat: -1}\n", "net.yaml:12:41: layer 'a' (unit): 'repeat' must be a whole number, not -1"),
    ("  - {name: a, type: unit, n: 1, when: 3 <}\n", "net.yaml:12:39: layer 'a' (unit): '3 <' is no expression; it has + - * / // %, "
     "comparisons, and, or, not, a if c else b, min, max and round"),
    ("  - {name: a, type: unit, n: 1, when: x}\n", "net.yaml:12:39: layer 'a' (unit): there is no 'x'; known: data.classes"),
    ("  - {name: a, share: b}\n", "net.yaml:12:22: layer 'a' (?): there is no line 'b' above to share with; there is nothing to choose from"),
    ("  - {name: a, type: unit, n: 0}\n",
     "net.yaml:7:53: layer 'a/conv' (Convolution): 'num_output' must be at least 1, not 0 (in block 'unit', used at net.yaml:12:5)"),
])  # fmt: skip
def test_a_mistake_is_told_where_it_stands_and_where_its_block_is_used(lines: str, told: str) -> None:
    assert refused(net(lines)) == [told]


def test_a_refusal_of_shapes_names_the_line_of_the_block_and_its_use() -> None:
    told = refused(
        net("  - {name: p, type: Pooling, kernel_size: 8}\n  - {name: a, type: unit, n: 1, s: 2}\n").replace(
            "kernel_size: 3, pad: 1, stride", "kernel_size: 3, stride"
        )
    )
    assert len(told) == 1
    assert told[0].startswith("net.yaml:7:70: layer 'a/conv' (Convolution): 'kernel_size' ")
    assert told[0].endswith("(in block 'unit', used at net.yaml:13:5)")


def test_an_outer_blob_comes_through_an_input_only() -> None:
    told = refused(
        net("  - {name: c, type: ReLU}\n  - {name: a, type: unit, n: 1}\n").replace(
            "bottom: in}\n      - {name: short", "bottom: c}\n      - {name: short"
        )
    )
    assert told == [
        "net.yaml:7:101: layer 'a/conv' (Convolution): there is no blob 'c' in block 'unit', and outer ones come through its inputs; "
        "known: add, conv, in, relu, short (in block 'unit', used at net.yaml:13:5)"
    ]


@pytest.mark.parametrize(("block", "words"), [
    ("5", "block 'b': must be a mapping"),
    ("{net: []}", "block 'b': needs a net, a list of layers"),
    ("{nte: [{name: r, type: ReLU}]}", "block 'b': unknown key 'nte'; did you mean 'net'?"),
    ("{params: 3, net: [{name: r, type: ReLU}]}", "block 'b': params must be a mapping"),
    ("{inputs: in, net: [{name: r, type: ReLU}]}", "block 'b': inputs must be a list of names"),
])  # fmt: skip
def test_blocks_that_cannot_be(block: str, words: str) -> None:
    assert any(words in line for line in refused(net("", HEAD + f"blocks: {{b: {block}}}\n")))


def test_a_block_may_not_have_the_name_of_a_layer_type() -> None:
    told = refused(net("", HEAD + "blocks: {ReLU: {net: [{name: r, type: TanH}]}}\n"))
    assert told == ["net.yaml:2:10: block 'ReLU': is the name of a layer type; choose another, such as my_relu"]


def test_a_block_that_uses_itself_is_told() -> None:
    told = refused(net("  - {name: a, type: me}\n", HEAD + "blocks: {me: {net: [{name: again, type: me}]}}\n"))
    assert len(told) == 1
    assert "blocks lie 30 deep here: 'me' uses itself" in told[0]


def test_a_net_that_grows_without_end_is_told() -> None:
    head = HEAD + "blocks: {b: {net: [{name: r, type: ReLU, repeat: 2000}]}}\n"
    told = refused(net("  - {name: a, type: b, repeat: 2000}\n", head))
    assert any("the net grows beyond 20,000 lines" in line for line in told)


def test_an_unknown_type_suggests_blocks_too() -> None:
    assert "did you mean 'unit'?" in refused(net("  - {name: a, type: unti, n: 1}\n"))[0]


@pytest.mark.parametrize(("words", "told"), [
    ("vars: 5", "net.yaml:1:7: vars: must be a mapping {name: value}, not 5"),
    ("vars: {a-b: 1}", "net.yaml:1:8: vars: 'a-b' cannot be a name; use letters, digits and _"),
    ("vars: {a: {b: 1}}", "net.yaml:1:11: vars: 'a' must be a number, a text or a list, not {\"b\": 1}"),
    ("vars: {a: $b}", "net.yaml:1:11: vars: there is no 'b'; there is nothing to choose from"),
    ("vars: {a: 1, b: $(a / 0)}", "net.yaml:1:17: vars: 'a / 0' divides by zero"),
    ("vars: {a: $(1 + }", "net.yaml:1:11: vars: '$(1 +' opens a bracket that does not close"),
    ("vars: {a: $}", "net.yaml:1:11: vars: '$' has a $ without a name; write $name, $(…), or $$ for the sign itself"),
])  # fmt: skip
def test_vars_that_cannot_be(words: str, told: str) -> None:
    assert refused(f"{words}\n{net('', HEAD)}") == [told]


def test_a_name_that_the_solver_does_not_know() -> None:
    told = refused(net("", HEAD).replace("base_lr: 0.1", "base_lr: $rate"))
    assert told[0].startswith("net.yaml:5:30: solver: there is no 'rate'; ")
