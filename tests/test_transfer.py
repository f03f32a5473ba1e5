"""docs/transfer.md does what it says: its commands, run as they stand on the real net and pictures, where these are."""

import json
import re
import shlex
from pathlib import Path

import pytest

from dltrain import config

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
PAGE = (ROOT / "docs" / "transfer.md").read_text()
TEXTS = {re.match(r"# ([\w.]+)", text)[1]: text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)}
COMMANDS = re.findall(r"^dltrain (.+)$", "\n".join(re.findall(r"```\n(dltrain .*?)```", PAGE, re.S)), re.M)


def test_the_page_has_its_files_and_commands():
    assert list(TEXTS) == ["features.yaml", "bees.yaml", "lower.yaml"]
    assert [words.split()[0] for words in COMMANDS] == [
        "import", "weights", "extract-features", "extract-features", "probe", "probe", "train", "test",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_commands_of_the_page_give_the_numbers_of_the_page(command, tmp_path):
    net, pictures = SHARED / "squeezenet_onnx" / "SqueezeNet_fp16.onnx", SHARED / "hymenoptera"
    for needed in (net, pictures):
        if not needed.exists():
            pytest.skip(f"needs {needed}, which is not here")
    pytest.importorskip("onnx", reason="needs onnx, which is not installed")
    pytest.importorskip("PIL", reason="needs Pillow, which is not installed")
    (tmp_path / net.name).symlink_to(net)
    (tmp_path / "hymenoptera").symlink_to(pictures)
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    said = {}
    for words in COMMANDS:
        done = command(*shlex.split(words), *(["--json"] if words.startswith(("probe", "test")) else []))
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        said[words] = done.stdout
    probed, tested = json.loads(said["probe train.h5 --test test.h5"]), json.loads(said["test runs/bees"])
    linear, tuned = probed["probes"]["linear"], tested["scores"]["accuracy"]
    told = float(re.search(r"^linear +([\d.]+)%.* of 40", PAGE, re.M)[1]) / 100
    assert probed["samples"] == tested["samples"] == 40 and probed["chance"] == 0.5
    assert linear["accuracy"] >= 0.85 and abs(linear["accuracy"] - told) < 0.026, "one picture is 2.5 %"
    assert tuned >= linear["accuracy"] and abs(tuned - float(re.search(r"\*\*([\d.]+) %\*\*", PAGE)[1]) / 100) < 0.026
    lower = config.read(tmp_path / "lower.yaml")
    assert lower.weights.fresh == ("maps",) and lower.net.shapes["test"]["maps"][1:] == (2, 13, 13)
