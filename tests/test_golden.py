"""Golden values: layers and solvers against what the original Caffe computed (../shared/golden, where it is there)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dltrain.fillers
import dltrain.layers
import dltrain.ops.reference
import dltrain.solvers  # noqa: F401  (these four fill the registries)
from dltrain.fields import Span
from dltrain.layer import Layer, Shape
from dltrain.ops.backend import Reference
from dltrain.ops.signature import OPS
from dltrain.registry import LAYERS, POLICIES, SOLVERS
from dltrain.solver import Horizon, Policy, Solver
from dltrain.testing import Trial

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
TOLERANCE = 1e-5  # of the largest value
RUN = Horizon(max_iter=10, per_epoch=Fraction(4))  # 20 rows, batches of 5
LOSSES = ("SoftmaxWithLoss", "EuclideanLoss")
OURS = {"Input", "Split", "Accuracy", "Concat", "Convolution", "Dropout", "Eltwise", "Flatten", "InnerProduct", "Pooling", "ReLU",
        "Sigmoid", "Softmax", "TanH", *LOSSES}  # fmt: skip
NOT_OURS = {
    "conv_axis2": "our Convolution has no axis: all before the channels is the sample",
    "dropout_train": "the mask is drawn by Caffe's own generator",
    "flatten_axis": "our Flatten leaves axis 0, the sample, alone",
    "ip_axis2": "our InnerProduct has no axis: it takes all axes after the sample",
    "ip_transpose_axis2_nobias": "our InnerProduct has neither axis nor transpose",
    "split_explicit": "Split is no layer: the net joins the gradients of several readers by itself",
}

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")


# --- Caffe's text format ---
def message(words: Iterator[str]) -> dict[str, list[Any]]:
    """{field: all its values} up to the closing brace."""
    made: dict[str, list[Any]] = {}
    for field in words:
        if field == "}":
            break
        word = next(words)
        made.setdefault(field, []).append(message(words) if word == "{" else literal(word))
    return made


def literal(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    try:
        return float(word) if re.search(r"[.e]", word) else int(word)
    except ValueError:
        return word.strip('"')


def read(text: str) -> dict[str, list[Any]]:
    return message(iter(re.findall(r'"[^"]*"|[{}]|[^\s{}:"]+', text)))


def per_axis(keys: dict[str, Any], name: str, short: str, default: int) -> tuple[int, ...]:
    if f"{short}_h" in keys:
        return keys[f"{short}_h"][0], keys[f"{short}_w"][0]
    return tuple(keys.get(name, (default,)))


def translate(kind: str, line: dict[str, Any], x: Any) -> Layer:
    """A layer of ours from a layer of theirs."""
    stem = {"Convolution": "convolution", "InnerProduct": "inner_product", "SoftmaxWithLoss": "softmax"}.get(kind, kind.lower())
    keys = line.get(f"{stem}_param", [{}])[0]
    plain = {name: values[0] for name, values in keys.items()}
    if kind in ("Convolution", "Pooling"):
        windows = {"kernel_size": ("kernel", 0), "stride": ("stride", 1), "pad": ("pad", 0), "dilation": ("dilation", 1)}
        made = {name: per_axis(keys, name, *rest) for name, rest in windows.items()}
        if kind == "Convolution":
            return LAYERS[kind](**made, **{name: plain[name] for name in ("num_output", "group", "bias_term") if name in plain})
        made["kernel_size"] = x.shape[2:] if plain.get("global_pooling") else made["kernel_size"]
        del made["dilation"]
        pool, rounding = {"AVE": "mean", "MAX": "max"}[plain["pool"]], plain.get("round_mode", "CEIL").lower()
        return LAYERS[kind](**made, pool=pool, round=rounding)
    if kind == "Eltwise":
        return LAYERS[kind](operation=plain.get("operation", "SUM").lower(), coeff=tuple(map(float, keys.get("coeff", ()))))
    if kind == "SoftmaxWithLoss":
        plain |= {name: values[0] for name, values in line.get("loss_param", [{}])[0].items()}
        plain["normalization"] = plain.get("normalization", "VALID").lower()
    return LAYERS[kind](**plain)


class Chain:
    """A small net of theirs, run layer by layer through our exam's Trial, forward and then backward."""

    def __init__(self, golden: Any) -> None:
        self.golden, self.train = golden, json.loads(bytes(golden["meta"]))["phase"] == "TRAIN"
        self.blobs = {name[3:]: golden[name] for name in golden.files if name.startswith("in/")}
        self.diffs: dict[str, Any] = {name[8:]: golden[name] for name in golden.files if name.startswith("topdiff/")}
        self.pdiffs: dict[str, Any] = {}
        self.owners: dict[str, str] = {}  # name of a shared parameter -> its place in the file
        self.places: dict[str, str] = {}  # the place of each parameter -> that of its owner
        self.loss, self.passes = 0.0, []
        for line in read(bytes(golden["prototxt"]).decode())["layer"]:
            if line["type"] != ["Input"]:
                self.forward(line)

    def forward(self, line: dict[str, Any]) -> None:
        kind, name, bottoms, tops = line["type"][0], line["name"][0], line["bottom"], line["top"]
        together = [(bottoms, tops)] if len(tops) == 1 else [([b], [t]) for b, t in zip(bottoms, tops, strict=True)]
        for bottoms, tops in together:
            xs = [self.blobs[bottom] for bottom in bottoms]
            layer = translate(kind, line, xs[0])
            if kind in ("SoftmaxWithLoss", "Accuracy"):
                places = list(xs[0].shape)
                del places[layer.axis]
                xs[1] = xs[1].reshape(places).astype(np.int32)
            shapes = [Shape(x.shape, "index" if x.dtype.kind == "i" else "float") for x in xs]
            trial = Trial(layer, shapes, Reference(np.float32), self.train)
            keys = {part.role: self.key(name, line, number) for number, part in enumerate(trial.store.segments.values())}
            params = {role: self.golden[f"param/{key}"] for role, key in keys.items()}
            made, _, _ = trial.run(xs, [np.zeros(shape) for shape in trial.promised], params)
            self.blobs |= dict(zip(tops, made, strict=True))
            self.passes.append((trial, bottoms, tops, xs, params, keys))
            self.weigh(tops[0], line.get("loss_weight", [float(kind in LOSSES)])[0])

    def key(self, name: str, line: dict[str, Any], number: int) -> str:
        place, params = f"{name}/{number}", line.get("param", [])
        shared = params[number].get("name", [place])[0] if number < len(params) else place
        self.places[place] = self.owners.setdefault(shared, place)
        return self.places[place]

    def weigh(self, top: str, weight: float) -> None:
        if weight:
            self.loss += weight * float(self.blobs[top].sum())
        if weight and f"topdiff/{top}" not in self.golden.files:
            self.diffs[top] = np.full(self.blobs[top].shape, weight)

    def backward(self) -> dict[str, Any]:
        """The gradient by each blob; of a blob that is worked on in place, the one by its first value."""
        made = dict(self.diffs)
        for trial, bottoms, tops, xs, params, keys in reversed(self.passes):
            dys = [np.reshape(self.diffs.pop(top), shape) for top, shape in zip(tops, trial.promised, strict=True)]
            _, dxs, grads = trial.run(xs, dys, params)
            for bottom, dx in zip(bottoms, dxs, strict=True):
                if dx is not None:
                    self.diffs[bottom] = self.diffs.get(bottom, 0) + dx
                    made[bottom] = self.diffs[bottom]
            for role, grad in grads.items():
                self.pdiffs[keys[role]] = self.pdiffs.get(keys[role], 0) + grad
        return made


def hold(name: str, found: Any, expected: Any) -> None:
    """The largest error over the largest value; what an empty window gives is exact."""
    found, empty = np.reshape(found, np.shape(expected)), np.abs(expected) > 1e38
    assert np.array_equal(found[empty], expected[empty]), name
    error, size = np.abs(found - expected)[~empty].max(initial=0), np.abs(expected)[~empty].max(initial=0)
    assert error <= TOLERANCE * size, f"{name}: off by {error:.3g}, values up to {size:.3g}"


def cases() -> list[Any]:
    files = [file.with_suffix(".npz") for file in sorted(GOLDEN.glob("cases/*.prototxt"))
             if {line["type"][0] for line in read(file.read_text())["layer"]} <= OURS]  # fmt: skip
    return [pytest.param(file, id=file.stem) for file in files] or [None]


@pytest.mark.parametrize("file", cases())
def test_a_layer_computes_what_caffe_computes(file: Path) -> None:
    if file.stem in NOT_OURS:
        pytest.skip(NOT_OURS[file.stem])
    golden = np.load(file)
    meta, chain = json.loads(bytes(golden["meta"])), Chain(golden)
    for top in {top for _, _, tops, *_ in chain.passes for top in tops}:
        hold(f"top {top}", chain.blobs[top], golden[f"blob/{top}"])
    hold("loss", chain.loss, golden["loss"])
    if meta["backward"] and chain.train:
        for name, diff in chain.backward().items():
            hold(f"gradient by {name}", diff, golden[f"diff/{name}"])
        for place in [name[6:] for name in golden.files if name.startswith("pdiff/")]:
            hold(f"gradient by parameter {place}", chain.pdiffs[chain.places[place]], golden[f"pdiff/{place}"])


# --- solvers ---
def policy_of(settings: dict[str, Any]) -> Policy:
    policy = {name: settings[name] for name in ("gamma", "power") if name in settings}
    if "stepsize" in settings:
        policy["stepsize"] = Span(settings["stepsize"])
    if "stepvalue" in settings:
        policy["stepvalue"] = tuple(map(Span, settings["stepvalue"]))
    made: Policy = POLICIES[settings["lr_policy"]](**policy)
    return made


def solver_of(settings: dict[str, Any]) -> Solver:
    keys = {"base_lr", "momentum", "weight_decay", "regularization_type", "clip_gradients", "iter_size"} & set(settings)
    made: Solver = SOLVERS[settings["type"]](lr_policy=policy_of(settings), **{key: settings[key] for key in keys})
    return made


def runs(*kinds: str) -> list[Any]:
    files = [file for kind in kinds for file in sorted(GOLDEN.glob(f"solvers/{kind}_*.npz"))]
    return [pytest.param(file, id=file.stem) for file in files] or [None]


@pytest.mark.parametrize("file", runs("*"))
def test_the_rate_changes_as_in_caffe(file: Path) -> None:
    golden = np.load(file)
    settings = json.loads(bytes(golden["settings"]))["settings"]
    rates = [policy_of(settings).rate(settings["base_lr"], iteration, RUN) for iteration in range(10)]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-6)


@pytest.mark.parametrize("file", runs("sgd", "nesterov"))
def test_a_solver_goes_the_way_of_caffe(file: Path) -> None:
    golden, problem = np.load(file), np.load(GOLDEN / "solvers" / "problem.npz")
    solver = solver_of(json.loads(bytes(golden["settings"]))["settings"])
    w = np.zeros(32 + 3, np.float32)  # 3 x 6 weights, then, on a new line of 16 elements, 3 biases
    g, velocity, norm, failed = np.zeros_like(w), np.zeros_like(w), np.zeros(1), np.zeros(1, np.int32)
    w[:18], w[32:] = problem["W0"].reshape(-1), problem["b0"]
    for iteration in range(10):
        for passed in range(solver.iter_size):
            rows = (np.arange(5) + 5 * (iteration * solver.iter_size + passed)) % 20
            x, d = problem["data"][rows], problem["data"][rows] @ w[:18].reshape(3, 6).T + w[32:] - problem["label"][rows]
            g[:18] += (d.T @ x).reshape(-1) / 5
            g[32:] += d.sum(axis=0) / 5
        rates = {name: np.array([number], np.float32) for name, number in solver.rates(iteration, RUN).items()}
        OPS["sum_of_squares"].function(g, norm)
        OPS["update"].function(
            w, g, (velocity,), (rates["lr"], rates["decay"]), tuple(rates[name] for name in solver.hyper), (), norm, failed,
            solver.formula, [(0, 18, 1.0, 1.0), (32, 35, 2.0, 0.0)], solver.regularization_type == "L1", solver.clip_gradients,
            solver.iter_size,
        )  # fmt: skip
        hold(f"W after {iteration + 1}", w[:18], golden["W"][iteration + 1].reshape(-1))
        hold(f"b after {iteration + 1}", w[32:], golden["b"][iteration + 1])
    hold("history 0", velocity[:18], golden["history/0"].reshape(-1))
    hold("history 1", velocity[32:], golden["history/1"])
    assert not failed[0]
