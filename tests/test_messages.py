"""Ten typical mistakes: each is one line with its place and the way out, exit code 2, and all are told in one pass."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dltrain import cli

RIGHT = """\
name: ten
data: {source: digits, batch_size: 32}
net:
  - {name: conv1, type: Convolution,  num_output: 4, kernel_size: 3}
  - {name: pool1, type: Pooling,      pool: max, kernel_size: 2, stride: 2}
  - {name: relu1, type: ReLU}
  - {name: ip1,   type: InnerProduct, num_output: 10}
  - {name: loss,  type: SoftmaxWithLoss, bottom: [ip1, label]}
  - {name: right, type: Accuracy, bottom: [ip1, label], phase: test}
solver:
  type: SGD
  base_lr: 0.1
  max_epochs: 1
  early_stopping: {monitor: right, patience: 3 epochs}
"""
MISTAKES = {  # name -> what stands there, what is written instead (^ where the message points), the message
    "a misspelt key": ("stride: 2", "^strid: 2", "layer 'pool1' (Pooling): unknown key 'strid'; did you mean 'stride'?"),
    "an unknown layer": ("ReLU", "^RELU", "layer 'relu1' (RELU): unknown layer type 'RELU'; did you mean 'ReLU'?"),
    "a wrong bottom": (
        "Loss, bottom: [ip1, label]", "Loss, bottom: [^ip, label]",
        "layer 'loss' (SoftmaxWithLoss): there is no blob 'ip'; did you mean 'ip1'?"),
    "a cycle": (
        "kernel_size: 3}", "kernel_size: 3, bottom: ^relu1}",
        "the net runs in a circle: conv1 reads relu1 reads pool1 reads conv1; break it at one bottom"),
    "a kernel larger than its input": (
        "kernel_size: 3", "kernel_size: ^9",
        "layer 'conv1' (Convolution): 'kernel_size' is larger than its bottom: 9 x 9 over 8 x 8, padding included; "
        "data 32 x 1 x 8 x 8 → conv1"),
    "a missing label": (
        "Loss, bottom: [ip1, label]", "Loss, bottom: ^ip1",
        "layer 'loss' (SoftmaxWithLoss): reads 2 to 3 bottoms (x, label, weight), not 1; …"),
    "a name given twice": (
        "name: relu1", "name: ^conv1",
        "layer 'conv1' (ReLU): the name 'conv1' is also the name of line 1 of the net; choose another"),
    "a bad number": ("0.1", '^"0.1"', "solver (SGD): 'base_lr' must be a number, not '0.1'; remove the quotes"),
    "a bad phase": ("phase: test", "phase: ^tset", "layer 'right' (Accuracy): 'phase' cannot be 'tset'; did you mean 'test'?"),
    "a wrong monitor": ("monitor: right", "monitor: ^rihgt", "solver: there is no score 'rihgt'; did you mean 'right'?"),
}  # fmt: skip

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """What a command line gives: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dltrain", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def told(command: Command, tmp_path: Path) -> Callable[[str], list[str]]:
    """The lines that a text is refused with, its path left out."""

    def read(text: str) -> list[str]:
        file = written(tmp_path, text)
        code, out, err = command("train", file, "--runs", str(tmp_path / "runs"))
        assert (code, out) == (2, "")
        assert not (tmp_path / "runs").exists()
        lines = [line.removeprefix("dltrain: ") for line in err.splitlines()]
        assert all(line.startswith(f"{file}:") for line in lines), err
        return [line.removeprefix(f"{file}:") for line in lines]

    return read


def written(folder: Path, text: str) -> str:
    file = folder / "net.yaml"
    file.write_text(text)
    return str(file)


def marked(text: str) -> tuple[str, str]:
    """The text without its ^, and line:column of where it stood."""
    before, caret, after = text.partition("^")
    assert caret and "^" not in after
    return before + after, f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def changed(old: str, new: str, text: str = RIGHT) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.parametrize("name", MISTAKES)
def test_is_one_line_with_place_and_way_out(name: str, told: Callable[[str], list[str]]) -> None:
    old, new, message = MISTAKES[name]
    text, place = marked(changed(old, new))
    found = told(text)
    assert len(found) == 1, found
    assert re.fullmatch(r"\d+:\d+: .+; .+", found[0])
    assert found[0].startswith(f"{place}: {message.removesuffix('…')}")
    assert message.endswith("…") or found[0] == f"{place}: {message}"


def test_ten_mistakes_in_one_file_are_told_in_one_pass(told: Callable[[str], list[str]]) -> None:
    """None of them hangs on another, so a user mends all ten before the next try."""
    found = told("""\
name: ten
data: {source: digits, batch_size: 32}
net:
  - {name: conv1, type: Convolution,  num_output: 4, kernel_size: 9}
  - {name: conv2, type: Convolution,  num_output: 4, kernel_size: 3, strid: 1, bottom: data}
  - {name: pool1, type: Poling,       kernel_size: 2, bottom: data}
  - {name: ip1,   type: InnerProduct, num_output: 10, bottom: data}
  - {name: ip1,   type: InnerProduct, num_output: 10, bottom: data}
  - {name: ip2,   type: InnerProduct, num_output: 10, bottom: dat}
  - {name: ring1, type: ReLU, bottom: ring2}
  - {name: ring2, type: ReLU, bottom: ring1}
  - {name: loss,  type: SoftmaxWithLoss, bottom: ip1}
  - {name: right, type: Accuracy, bottom: [ip1, label], phase: tets}
solver:
  type: SGD
  base_lr: true
  max_epochs: 1
  early_stopping: {monitor: rigth, patience: 3 epochs}
""")
    lines = [re.sub(r"^(\d+):\d+: ", r"\1: ", line) for line in found]
    assert [re.sub(r"(weight\), not 1; ).+", r"\1…", line) for line in lines] == [
        "4: layer 'conv1' (Convolution): 'kernel_size' is larger than its bottom: 9 x 9 over 8 x 8, padding included; "
        "data 32 x 1 x 8 x 8 → conv1",
        "5: layer 'conv2' (Convolution): unknown key 'strid'; did you mean 'stride'?",
        "6: layer 'pool1' (Poling): unknown layer type 'Poling'; did you mean 'Pooling'?",
        "8: layer 'ip1' (InnerProduct): the name 'ip1' is also the name of line 4 of the net; choose another",
        "9: layer 'ip2' (InnerProduct): there is no blob 'dat'; did you mean 'data'?",
        "10: the net runs in a circle: ring1 reads ring2 reads ring1; break it at one bottom",
        "12: layer 'loss' (SoftmaxWithLoss): reads 2 to 3 bottoms (x, label, weight), not 1; …",
        "13: layer 'right' (Accuracy): 'phase' cannot be 'tets'; did you mean 'test'?",
        "16: solver (SGD): 'base_lr' must be a number, not true",
        "18: solver: there is no score 'rigth'; did you mean 'right'?",
    ]


def test_every_single_mistake_stays_one_line_beside_any_other(told: Callable[[str], list[str]]) -> None:
    """All pairs that can stand in one text: what is told is what each tells alone."""
    alone = {}
    for name, (old, new, _) in MISTAKES.items():
        text, place = marked(changed(old, new))
        alone[name] = (place, told(text))
    within = {
        "a misspelt key",
        "an unknown layer",
        "a kernel larger than its input",
        "a name given twice",
    }  # in a line of the ring
    for first in MISTAKES:
        for second in list(MISTAKES)[list(MISTAKES).index(first) + 1 :]:
            text = changed(*MISTAKES[first][:2]).replace("^", "")
            same_line = alone[first][0].split(":")[0] == alone[second][0].split(":")[0]
            if same_line or ("a cycle" in (first, second) and within & {first, second}) or text.count(MISTAKES[second][0]) != 1:
                continue
            found = told(changed(*MISTAKES[second][:2], text).replace("^", ""))
            wanted = [line.split(": ", 1)[1].split(";")[0] for line in alone[first][1] + alone[second][1]]
            assert sorted(line.split(": ", 1)[1].split(";")[0] for line in found) == sorted(wanted), (first, second)


def test_one_mistake_alone_starts_as_it_does_among_others(command: Command, tmp_path: Path) -> None:
    """FILE:LINE:COL stands at the beginning of each line, where an editor looks for it."""
    text = marked(changed(*MISTAKES["a misspelt key"][:2]))[0]
    one = command("train", written(tmp_path, text))[2]
    two = command("train", written(tmp_path, changed(*MISTAKES["a bad number"][:2], text).replace("^", "")))[2]
    assert two.splitlines()[0] == one.rstrip("\n")


# --- shapes ---
@pytest.mark.parametrize(("old", "new", "message"), [
    ("kernel_size: 2", "kernel_size: ^7",
     "layer 'pool1' (Pooling): 'kernel_size' 7 is larger than its bottom: 6 x 6, padded by 0; "
     "data 32 x 1 x 8 x 8 → conv1 32 x 4 x 6 x 6 → pool1"),
    ("InnerProduct, num_output: 10", "Convolution, num_output: 10, kernel_size: ^4",
     "layer 'ip1' (Convolution): 'kernel_size' is larger than its bottom: 4 x 4 over 3 x 3, padding included; "
     "data 32 x 1 x 8 x 8 → conv1 32 x 4 x 6 x 6 → pool1 32 x 4 x 3 x 3 → relu1 32 x 4 x 3 x 3 → ip1"),
    ("- {name: relu1, type: ReLU}",
     "- {name: ip0, type: InnerProduct, num_output: 5}\n  - ^{name: conv2, type: Convolution, num_output: 4, kernel_size: 1}",
     "layer 'conv2' (Convolution): needs a bottom with spatial axes (N x C x H x W), not 32 x 5; "
     "data 32 x 1 x 8 x 8 → conv1 32 x 4 x 6 x 6 → pool1 32 x 4 x 3 x 3 → ip0 32 x 5 → conv2"),
    ("- {name: relu1, type: ReLU}", "- {name: both, type: Eltwise, bottom: ^[conv1, pool1]}",
     "layer 'both' (Eltwise): shapes differ: 32 x 4 x 6 x 6 and 32 x 4 x 3 x 3; …"
     "data 32 x 1 x 8 x 8 → conv1 32 x 4 x 6 x 6 → both"),
    ("num_output: 4, kernel_size: 3", "num_output: 4, kernel_size: ^[3, 3, 3]",
     "layer 'conv1' (Convolution): 'kernel_size' needs 1 or 2 numbers for 2 spatial axes; data 32 x 1 x 8 x 8 → conv1"),
    ("num_output: 4, kernel_size: 3", "num_output: 4, kernel_size: 3, group: ^2",
     "layer 'conv1' (Convolution): 'group' 2 does not divide the bottom's 1 channels; data 32 x 1 x 8 x 8 → conv1"),
    ("num_output: 10", "num_output: 10, param: {wieght: ^{lr_mult: 2}}",
     "layer 'ip1' (InnerProduct): has no parameter 'wieght'; it has weight, bias"),
    ("type: ReLU", "type: ReLU, param: ^{weight: {lr_mult: 2}}", "layer 'relu1' (ReLU): has no parameters; remove param"),
])  # fmt: skip
def test_a_shape_that_cannot_be_shows_how_it_came_about(
    old: str, new: str, message: str, told: Callable[[str], list[str]]
) -> None:
    text, place = marked(changed(old, new))
    first, _, last = message.partition("…")
    found = told(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"{place}: {first}") and found[0].endswith(last)
    assert "…" in message or found[0] == f"{place}: {message}"


@pytest.mark.parametrize(("steps", "words"), [
    ("[{resize: 10}, ^{crop: 11}]", "11 x 11 is larger than the image, 10 x 10; resize it first"),
    ("[^{crop: 6, top: label}]", "needs an image (C x H x W), not one number"),
    ("[{scale: 2}, {crop: 6, top: ^labels}]", "there is no field 'labels'; "),
    ("[{scale: 1, top: ^label}]", "cannot be done with classes"),
    ("[{scale: 1}, ^{crop: 6, phase: train}]", "'data' is 1 x 6 x 6 in train and 1 x 8 x 8 in test; both must be alike"),
    ("[{scale: 1}, ^{mean: [1, 2]}]", "has 2 numbers for 1 channels"),
])  # fmt: skip
def test_a_step_of_a_transform_that_cannot_be_is_told_at_its_place(
    steps: str, words: str, told: Callable[[str], list[str]]
) -> None:
    text, place = marked(changed("batch_size: 32", f"transform: {steps}"))
    found = told(text)
    assert len(found) == 1, found
    assert words in found[0]
    if "both must be alike" not in words:  # no single step is to blame
        assert found[0].startswith(f"{place}: ")


def test_the_chain_of_shapes_passes_over_lines_that_the_phase_leaves_out(told: Callable[[str], list[str]]) -> None:
    text = changed("stride: 2}", "stride: 2, phase: train}")
    text = changed("- {name: relu1, type: ReLU}", "- {name: tall, type: Pooling, kernel_size: ^7, phase: test}", text)
    text, place = marked(text)
    assert told(text)[0] == (
        f"{place}: layer 'tall' (Pooling): 'kernel_size' 7 is larger than its bottom: 6 x 6, padded by 0; "
        "data 32 x 1 x 8 x 8 → conv1 32 x 4 x 6 x 6 → tall"
    )
    below = text.replace("kernel_size: 7, phase: test", "kernel_size: 4, phase: train")
    assert told(below)[0] == (
        f"{place}: layer 'tall' (Pooling): 'kernel_size' 4 is larger than its bottom: 3 x 3, padded by 0; "
        "data 32 x 1 x 8 x 8 → conv1 32 x 4 x 6 x 6 → pool1 32 x 4 x 3 x 3 → tall"
    )


def test_a_parameter_that_differs_between_phases_is_refused(told: Callable[[str], list[str]]) -> None:
    text, place = marked(changed("- {name: ip1,", "- ^{name: ip1,", changed("stride: 2}", "stride: 2, phase: train}")))
    found = told(text)
    assert len(found) == 1, found
    assert re.match(rf"{place}: layer 'ip1' \(InnerProduct\): its weight is 10 x 36 .* and 10 x 144 .*; .+", found[0])


def test_one_wrong_shape_hides_what_reads_it_and_nothing_else(told: Callable[[str], list[str]]) -> None:
    text = changed("kernel_size: 3", "kernel_size: 9")
    text = changed("  - {name: ip1, ", "  - {name: far, type: Pooling, kernel_size: 20, bottom: data}\n  - {name: ip1, ", text)
    assert [line.split(":")[0] for line in told(text)] == ["4", "7"]


def test_a_line_that_is_wrong_itself_hides_what_reads_it(told: Callable[[str], list[str]]) -> None:
    """The pooling would fit over conv1; that it does not fit over what stands above conv1 is nobody's mistake."""
    text = changed("num_output: 4, kernel_size: 3}", "num_output: 4, kernel_size: 3, pad: 6, ^strid: 1}")
    text, place = marked(changed("kernel_size: 2, stride: 2", "kernel_size: 12, stride: 2", text))
    assert told(text) == [f"{place}: layer 'conv1' (Convolution): unknown key 'strid'; did you mean 'stride'?"]
    text, place = marked(changed("- {name: ip1,   type: InnerProduct,", "- {name: ip1,   type: ^InerProduct,"))
    assert told(text) == [f"{place}: layer 'ip1' (InerProduct): unknown layer type 'InerProduct'; did you mean 'InnerProduct'?"]


# --- the command line itself ---
@pytest.mark.parametrize(("words", "message"), [
    (("train",), "give a CONFIG, or --resume RUN"),
    (("train", "no.yaml"), "no.yaml: there is no such file; give the path of a config or of a run"),
    (("trian",), "No such command 'trian'"), (("train", "x.yaml", "--sett", "a=1"), "No such option '--sett'"),
])  # fmt: skip
def test_a_wrong_command_line_is_exit_code_2(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(("text", "message"), [
    ("", "a config is a mapping with data, net and solver; see configs/lenet.yaml"),
    ("5", "a config is a mapping with data, net and solver; see configs/lenet.yaml"),
    ("- 1", "a config is a mapping with data, net and solver; see configs/lenet.yaml"),
    ("a: [1", "this is not YAML: "), ("{}", "config: needs a net; add net: "),
])  # fmt: skip
def test_a_file_that_is_no_config_is_exit_code_2(text: str, message: str, told: Callable[[str], list[str]]) -> None:
    assert any(message in line for line in told(text))
