"""InfogainLoss: with H = 1 a softmax loss, with a diagonal one weights of classes; H from a bottom or a file."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import catalogue  # noqa: F401
from dltrain import config as configs
from dltrain.errors import ConfigError
from dltrain.layers.infogain_loss import InfogainLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

RNG = np.random.default_rng(0)
X, LABEL, H = RNG.standard_normal((4, 3, 2)), RNG.integers(0, 3, (4, 2)), RNG.uniform(0.1, 2, (3, 3))
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)


def test_by_hand(run: Any) -> None:
    h = np.array([[1.0, 0, 2], [0, 1, 0], [0, 0, 1]])
    made = run(InfogainLoss(), np.log([[0.5, 0.25, 0.25]]), np.array([0]), h)
    assert made.y[0] == pytest.approx(-log(0.5) - 2 * log(0.25))
    np.testing.assert_allclose(made.dx, [[1.5 - 1, 0.75, 0.75 - 2]])
    assert made.dxs[2] is None


def test_is_what_a_plain_loop_adds_up(run: Any) -> None:
    y = sum(-H[LABEL[n, i]] @ np.log(P[n, :, i]) for n in range(4) for i in range(2)) / 8
    assert run(InfogainLoss(), X, LABEL, H).y[0] == pytest.approx(y)


@pytest.mark.parametrize(("normalization", "z"), [("valid", (LABEL != 1).sum()), ("full", 8), ("batch_size", 4), ("none", 1)])
def test_ones_make_a_softmax_loss(normalization: Any, z: int, run: Any) -> None:
    made = run(InfogainLoss(ignore_label=1, normalization=normalization), X, LABEL, np.eye(3).reshape(1, 1, 3, 3))
    hits, kept = np.eye(3)[LABEL].transpose(0, 2, 1), (LABEL != 1)[:, None]
    assert made.sums == pytest.approx([-(np.log(P) * hits * kept).sum(), z])
    np.testing.assert_allclose(made.dx, (P - hits) * kept / z, atol=1e-15)


def test_a_place_costs_at_most_46(run: Any) -> None:
    made = run(InfogainLoss(), np.array([[0.0, 1e4]]), np.array([0]), np.eye(2), dtype=np.float32)
    assert made.y[0] == pytest.approx(-log(1e-20), rel=1e-6)


@pytest.mark.parametrize("name", ["H.npy", "H.npz"])
def test_the_matrix_may_come_from_a_file(name: str, run: Any, tmp_path: Any) -> None:
    (np.save if name.endswith("npy") else np.savez)(tmp_path / name, H.astype(np.float32))
    one = run(InfogainLoss(), X, LABEL, H.astype(np.float32), np.arange(4.0))
    other = run(InfogainLoss(source=str(tmp_path / name)), X, LABEL, np.arange(4.0))
    assert one.sums == other.sums
    np.testing.assert_array_equal(one.dx, other.dx)


def test_weights(run: Any) -> None:
    made = run(InfogainLoss(), X, LABEL, np.eye(3), np.array([2.0, 0, 0, 1]))
    costs = -np.take_along_axis(np.log(P), LABEL[:, None], 1)[:, 0]
    assert made.sums == pytest.approx([(costs * [[2], [0], [0], [1]]).sum(), 6])


@pytest.mark.parametrize(("shape", "axis", "label"), [((4, 3), 1, (4,)), ((2, 3, 2, 2), 1, (2, 2, 2)), ((2, 4, 3), -1, (2, 4))])
def test_sits_the_exam(shape: Any, axis: int, label: Any) -> None:
    check_layer(InfogainLoss(axis=axis), shape, Shape(label, "index"), (3, 3), classes=3)
    check_layer(InfogainLoss(axis=axis, ignore_label=0), shape, Shape(label, "index"), (9,), label[:1], classes=3)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index"), (3, 3)], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((4,), "index")], "bottom", "needs a matrix as third bottom, or source: FILE.npy"),
    ({}, [(4, 3), Shape((4,), "index"), (3, 4)], "bottom", "the matrix must have 3 x 3 numbers, not 3 x 4"),
    ({}, [(4, 3), Shape((5,), "index"), (3, 3)], "bottom", "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ({}, [(4, 3), Shape((4,), "index"), (3, 3), (3,)], "bottom", "the weight must be 4 or 4, not 3"),
    ({"source": "H.npy"}, [(4, 3), Shape((4,), "index"), (3, 3), (4,)], "source", "stands for the matrix"),
    ({"source": "H.npy"}, [(4, 3), Shape((4,), "index")], "source", "H.npy: there is no such file"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(InfogainLoss(**keys), shapes, key, words)


def test_refuses_a_file_of_another_size_or_of_several(refuses: Any, tmp_path: Any) -> None:
    np.save(tmp_path / "H.npy", np.ones((2, 3)))
    np.savez(tmp_path / "two.npz", a=H, b=H)
    shapes = [(4, 3), Shape((4,), "index")]
    refuses(
        InfogainLoss(source=str(tmp_path / "H.npy")),
        shapes,
        "source",
        "must hold 3 x 3 numbers, one for each pair of classes, not 2 x 3",
    )
    refuses(InfogainLoss(source=str(tmp_path / "two.npz")), shapes, "source", "holds 2 arrays; save the matrix alone")


def test_its_file_is_seen_from_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "H.npy", np.eye(3))
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    line = "{{name: l, type: InfogainLoss, bottom: [ip, label], source: {}}}"
    head = "vars: {{name: H}}\ndata: {{source: {{type: blank, shapes: {{data: 4, label: []}}, classes: {{label: 3}}}}}}\nnet:\n"
    head = head.format() + "  - {name: ip, type: InnerProduct, num_output: 3}\n"
    for said in ("H.npy", "$(name).npy", str(tmp_path / "H.npy")):
        (tmp_path / "c.yaml").write_text(f"{head}  - {line.format(said)}\n")
        made = configs.read(tmp_path / "c.yaml", need_solver=False)
        assert made.values["net"][1]["source"] == str(tmp_path / "H.npy")  # a run keeps it so
    (tmp_path / "c.yaml").write_text(f"{head}  - {line.format('gone.npy')}\n")
    with pytest.raises(ConfigError, match=f"{tmp_path / 'gone.npy'}: there is no such file"):
        configs.read(tmp_path / "c.yaml", need_solver=False)
    configs.read(tmp_path / "c.yaml", ("net.l.source=../H.npy",), need_solver=False)
    block = "blocks: {judge: {params: {file: str}, inputs: [x, y], net: [{name: l, type: InfogainLoss, bottom: [x, y], source: $(file).npy}]}}"
    (tmp_path / "c.yaml").write_text(f"{head}  - {{name: b, type: judge, bottom: [ip, label], file: H}}\n{block}\n")
    layer = configs.read(tmp_path / "c.yaml", need_solver=False).net.lines[-1].layer
    assert isinstance(layer, InfogainLoss) and layer.source == str(tmp_path / "H.npy")
