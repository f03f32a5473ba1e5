"""dltrain init: the configs that come with dltrain, as they are, and never over a file of yours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dltrain import zoo
from dltrain.console import Console
from dltrain.errors import ConfigError

ROOT = Path(__file__).parent.parent
QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_config_is_written_unchanged(tmp_path: Path) -> None:
    zoo.write("lenet", None, False, QUIET)
    assert Path("lenet.yaml").read_bytes() == (ROOT / "configs/lenet.yaml").read_bytes()
    zoo.write("lenet", "mine.yaml", False, QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lenet.yaml", "mine.yaml"]


def test_files_that_a_config_names_come_with_it(tmp_path: Path) -> None:
    zoo.write("lenet_mnist", "my.yaml", False, QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lenet.yaml", "my.yaml"]
    zoo.write("lenet_mnist", "two.yaml", False, QUIET)  # lenet.yaml is there already, and the same


def test_nothing_is_overwritten_without_force() -> None:
    Path("lenet.yaml").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"lenet\.yaml: is there already; choose another name with -o FILE, or overwrite it with --force"
    ):
        zoo.write("lenet", None, False, QUIET)
    with pytest.raises(ConfigError, match=r"^lenet\.yaml: is there already"):  # nor what comes with another
        zoo.write("lenet_mnist", None, False, QUIET)
    assert Path("lenet.yaml").read_text() == "mine" and not Path("lenet_mnist.yaml").exists()
    zoo.write("lenet", None, True, QUIET)
    assert Path("lenet.yaml").read_text().startswith("# LeNet")


def test_unknown_names_and_folders() -> None:
    with pytest.raises(ConfigError, match="there is no config 'lenett'; did you mean 'lenet'.*init --list"):
        zoo.write("lenett", None, False, QUIET)
    with pytest.raises(ConfigError, match="there is no folder no"):
        zoo.write("lenet", "no/lenet.yaml", False, QUIET)


def test_every_config_says_what_it_is(capsys: Any) -> None:
    zoo.listing(Console(as_json=True))
    found = {row["name"]: row["about"] for row in json.loads(capsys.readouterr().out)["configs"]}
    assert found["lenet"] == "LeNet on the handwritten digits that come with dltrain."
    assert found.keys() == {path.stem for path in (ROOT / "configs").glob("*.yaml")} and all(found.values())


@pytest.mark.parametrize("name", sorted(zoo.configs()))
def test_what_a_config_names_exists(name: str) -> None:
    text = (ROOT / "configs" / f"{name}.yaml").read_bytes()
    assert set(zoo.companions(text)) <= {path.name for path in (ROOT / "configs").iterdir()}


def test_the_command(command: Any, tmp_path: Path) -> None:
    done = command("init", "lenet", "-o", "new.yaml")
    assert done.returncode == 0 and done.stdout == "new.yaml written; next: dltrain train new.yaml\n", done.stderr
    assert command("init", "lenet", "-o", "new.yaml").returncode == 2
    assert "lenet_mnist" in command("init", "--list").stdout
    done = command("init")
    assert done.returncode == 2 and "give a NAME, or --list" in done.stderr
