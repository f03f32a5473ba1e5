"""The house rules that a machine can check: ceilings, names, layers without devices, the list of packages."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for folder in ("dltrain", "layers", "solvers", "data", "benchmarks") for path in (ROOT / folder).rglob("*.py")
                 if not any(parent.is_symlink() for parent in path.parents))  # fmt: skip
MODULES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in SOURCES]


@pytest.mark.parametrize("path", MODULES)
def test_a_file_is_short_and_says_first_why_it_exists(path):
    text = path.read_text()
    ceiling = 120 if path.parent.name == "layers" else 300
    assert text.count("\n") <= ceiling
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line of a file is a sentence"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, f"{node.name} is longer than 40 lines"


@pytest.mark.parametrize("path", MODULES)
def test_a_name_says_something(path):
    assert not re.match(r"utils?|common|helpers?|misc|base|core$", path.stem)


def test_layers_and_solvers_name_no_device():
    for path in SOURCES:
        if path.parent.name in ("layers", "solvers"):
            assert not re.search(r"^\s*(import|from)\s+(numpy|cupy|numba)", path.read_text(), re.M), path


def test_layer_files_are_mostly_small():
    sizes = sorted(path.read_text().count("\n") for path in SOURCES if path.parent.name == "layers" and path.stem != "__init__")
    assert sizes[len(sizes) // 2] <= 60


def test_the_list_of_packages_is_the_tree():
    said = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]) - {"dltrain.configs"}
    folders = {path.parent for path in SOURCES if path.name == "__init__.py" and "benchmarks" not in path.parts}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert {name if name.startswith("dltrain") else f"dltrain.{name}" for name in names} == said


def test_the_links_lead_where_the_mapping_says():
    for name in ("layers", "solvers", "data", "configs"):
        assert (ROOT / "dltrain" / name).is_symlink() and (ROOT / "dltrain" / name).resolve() == ROOT / name


def test_importing_dltrain_imports_nothing_heavy():
    code = "import sys, dltrain; print(sorted(set(sys.modules) & {'numpy', 'numba', 'h5py', 'cupy', 'pydantic', 'click'}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"


def test_no_eval_no_pickle_no_shell():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "os.system", "pickle.load", "pickle.loads"), f"{path}: {name}"
                assert not any(word.arg == "shell" for word in node.keywords), f"{path}: {name}"
