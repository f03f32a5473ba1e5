"""What README and docs print must run as printed."""

import re
import shlex
from pathlib import Path

import click
import pytest

from dltrain import config, devices
from dltrain.cli import cli
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS, SOURCES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^(?:\S*bin/)?dltrain ([^#\n]+)", "\n".join(re.findall(r"```\n(.*?)```", README, re.S)), re.M)


@pytest.mark.parametrize("words", [*COMMANDS, README.split(".venv/bin/dltrain ")[1].split("\n")[0]])
def test_every_command_in_the_readme_is_understood(words):
    name, *rest = shlex.split(words)
    command = cli.commands[name]
    with command.make_context(name, rest, resilient_parsing=False) as context:
        for value in context.params.values():
            if isinstance(value, str) and value.endswith(".yaml"):
                assert (ROOT / value).is_file(), value


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 3 and isinstance(cli, click.Group)


def test_the_run_in_the_readme_is_a_right_config_and_the_one_that_is_shipped(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", README, re.S)[1]
    (tmp_path / "readme.yaml").write_text(text)
    shown, shipped = config.read(tmp_path / "readme.yaml"), config.read(ROOT / "configs" / "lenet.yaml")
    assert [line.name for line in shown.net.lines] == [line.name for line in shipped.net.lines]
    assert shown.solver == shipped.solver and shown.loop == shipped.loop


def test_the_messages_in_the_readme_are_the_messages_that_come(tmp_path, command):
    shown = re.search(r"```\n(bad\.yaml:.*?)```", README, re.S)[1]
    text = (ROOT / "configs" / "lenet.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(break_config(text))
    done = command("train", "bad.yaml")
    assert done.returncode == 2 and done.stderr == shown


def break_config(text: str) -> str:
    lines = text.splitlines(keepends=True)
    text = "".join(lines[1:])  # without the head comment
    text = text.replace(
        "pool: max, kernel_size: 2, stride: 2}  # 64 x 20 x 12", "pool: max, kernal_size: 2, stride: 2}  # 64 x 20 x 12"
    )
    return text.replace("type: ReLU", "type: RelU").replace("SoftmaxWithLoss, bottom: [ip2", "SoftmaxWithLoss, bottom: [ip3")


def test_readme_and_docs_name_everything_there_is():
    docs = README + "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for known in (LAYERS, SOLVERS, POLICIES, FILLERS, SOURCES):
        for name in known:
            assert name in docs, f"{known.kind} {name}"


def test_every_number_says_on_what_machine_and_when():
    rows = [row for row in README.split("## Measured")[1].split("##")[0].splitlines() if row.startswith("| ")][1:]
    assert rows
    for row in rows:
        assert re.search(r"20\d\d-\d\d-\d\d", row) or row.startswith("|---"), row


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_all_configs_say_how_to_run_them(path):
    assert f"dltrain train configs/{path.name}" in path.read_text()


def test_devices_of_the_readme_exist():
    assert {device.name for device in devices.devices()} == {"cpu", "cuda", "reference"}


def test_the_page_of_layers_is_what_the_code_says():
    from dltrain.reference import page

    assert (ROOT / "docs" / "layers.md").read_text() == page("The layers", LAYERS), "run python -m dltrain.reference"


def test_every_layer_of_caffe_is_where_the_table_says():
    table = (ROOT / "docs" / "caffe.md").read_text().split("## Layer types")[1].split("## Solvers")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines() if row.startswith("| ")][1:]
    rows = [row for row in rows if not row[0].startswith("---")]
    assert len(rows) == 61
    missing = [ours for _, ours, _ in rows if not ours.startswith("`") and ours not in LAYERS]
    assert not missing


NETS = (ROOT / "docs" / "nets.md").read_text()


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", NETS, re.S))
def test_the_nets_in_the_docs_are_right(text, tmp_path):
    (tmp_path / "lenet.yaml").write_text((ROOT / "configs" / "lenet.yaml").read_text())
    (tmp_path / "net.yaml").write_text(text)
    assert config.read(tmp_path / "net.yaml").net.store.parameters > 0
