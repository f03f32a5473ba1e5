"""The small classic nets of configs/: as many parameters as their papers say, and what each of them is there to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config, weights
from dltrain.config import Config
from dltrain.engine import Engine
from dltrain.evaluate import evaluate
from dltrain.launch import engine_of
from dltrain.progress import Progress
from dltrain.saving import save
from dltrain.source import Source
from dltrain.tensor import Shape

CONFIGS = Path(__file__).parent.parent / "configs"
INDEX = Shape((), "index")
FIELDS = {
    "digits": {"data": Shape((1, 8, 8)), "label": INDEX},
    "mnist": {"data": Shape((1, 28, 28)), "label": INDEX},
    "cifar10": {"data": Shape((3, 32, 32)), "label": INDEX},
    "wav_folder": {"data": Shape((16, 73)), "label": INDEX},
}
DIGITS = ("data.source=digits", "data.batch_size=50")


def promised(source: Source) -> dict[str, Shape]:
    if source.type in FIELDS:
        return FIELDS[source.type]
    source.open()  # generated: needs no files
    return source.fields


def looked_at(name: str) -> Config:
    return config.read(CONFIGS / f"{name}.yaml", need_solver=False, promise=promised)


@contextmanager
def opened(name: str, *settings: str, device: str = "reference") -> Iterator[tuple[Config, Engine]]:
    made = config.read(CONFIGS / f"{name}.yaml", settings)
    engine = engine_of(made, device)
    try:
        yield made, engine
    finally:
        made.feed.close()
        engine.close()


def train(made: Config, engine: Engine, iterations: int) -> None:
    assert made.solver is not None
    for number in range(iterations):
        engine.step([made.feed.train_batch(number)], made.solver.rates(number, made.horizon))


def parameters(engine: Engine) -> dict[str, Any]:
    return {part.name: engine.memory.logical(part.handle.data).copy() for part in engine.net.store.segments.values()}


def gradients(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    engine.memory.memory(engine.memory.handles["g"])[...] = 0
    engine.pass_through("train", batch, "train")
    learned = [part for part in engine.net.store.segments.values() if part.handle.grad is not None]
    return {part.name: engine.memory.logical(part.handle.grad).copy() for part in learned}


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("logreg", 784 * 10 + 10),
        ("mlp_784_1000_10", 795_010),
        ("mlp_deep", 784 * 500 + 500 + 3 * 500 * 501 + 5010),
        ("lenet", 431_080),
        ("lenet_mnist", 431_080),
        ("lenet1", 4 * 26 + 2 * 4 + (20 * 25 + 12) + 2 * 12 + 193 * 10),
        ("lenet5", 33_078),
        ("lenet5_1998", 60_000),
        ("lenet_sliding", 431_080),
        ("cifar10_quick", 145_578),
        ("cifar10_quick-small", 145_578),
        ("cifar10_full", 89_578),
        ("cam", 16 * 10 + 32 * (16 * 9 + 1) + 32 * (32 * 9 + 1) + 4 * 32),
        ("tdnn", 32 * (16 * 3 + 1) + 10 * (32 * 5 + 1)),
        ("autoencoder", 2_837_314),
        ("denoising_autoencoder", 784 * 500 + 500 + 784),
        ("fine_tune", 431_080 - 20 * 26 - 50 * 501),
    ],
)
def test_as_many_numbers_learn_as_the_text_says(name, learned):
    parts = looked_at(name).net.store.segments.values()
    assert sum(part.shape.count for part in parts if not part.frozen) == learned


def test_the_codes_of_lenet5_are_all_that_is_fixed_in_it():
    frozen = {part.name: part.shape.count for part in looked_at("lenet5_1998").net.store.segments.values() if part.frozen}
    assert frozen == {"drawn.weight": 840}


def test_mlp_deep_is_as_deep_as_it_is_told_to_be():
    net = config.read(CONFIGS / "mlp_deep.yaml", ("vars.depth=7", "vars.width=30"), promise=promised).net
    assert [line.name for line in net.lines if line.layer.type == "InnerProduct"][:-1] == [f"h/{i}/ip" for i in range(1, 8)]
    assert net.store.parameters == 784 * 30 + 30 + 6 * 30 * 31 + 310


def test_each_map_of_c3_reads_the_maps_of_s2_that_the_table_of_the_paper_says():
    rows = [{(m + k) % 6 for k in range(3)} for m in range(6)] + [{(m + k) % 6 for k in range(4)} for m in range(6)]
    rows += [{(m + k) % 6 for k in (0, 1, 3, 4)} for m in range(3)] + [set(range(6))]
    with opened("lenet5_1998", *DIGITS, "data.transform=[{resize: 32}, {scale: 0.1}]", "data.batch_size=2") as (made, engine):
        batch = next(made.feed.batches("val"))
        parts = {part.name: engine.memory.logical(part.handle.data) for part in made.net.store.segments.values()}
        maps = []
        for changed in (None, *range(6)):
            kept = parts["c1/conv.weight"].copy()
            if changed is not None:
                parts["c1/conv.weight"][changed] *= -1
            engine.forward("test", batch, "val", ("c3",))
            parts["c1/conv.weight"][...] = kept
            maps.append(engine.blob("c3"))
        read = [{m for m in range(6) if (maps[m + 1][:, row] != maps[0][:, row]).any()} for row in range(16)]
    assert read == rows


def test_the_codes_of_lenet5_are_signs_and_a_score_is_minus_the_squared_distance_to_one():
    with opened("lenet5_1998", *DIGITS, "data.transform=[{resize: 32}]", "data.batch_size=2") as (made, engine):
        engine.forward("test", next(made.feed.batches("val")), "val", ("codes", "output/tall", "all"))
        codes, x, scores = engine.blob("codes")[0], engine.blob("output/tall"), engine.blob("all")
    assert set(np.unique(codes)) == {-1, 1} and len(np.unique(codes, axis=0)) == 10
    np.testing.assert_allclose(scores[:, :10], -((x[:, None] - codes) ** 2).sum(axis=2), rtol=1e-5)
    np.testing.assert_allclose(scores[:, 10], -0.1, rtol=1e-6)


def test_the_peak_of_the_map_of_a_class_lies_in_the_object():
    small = "data.source={type: generated, python: configs/blobs.py, samples: {train: 1000, val: 100, test: 100}}"
    small = small.replace("configs/blobs.py", str(CONFIGS / "blobs.py"))
    with opened("cam", small, "solver.max_epochs=12", device="cpu") as (made, engine):
        train(made, engine, 200)
        scores, hits = evaluate(engine, made.feed, "test"), []
        for batch in made.feed.batches("test"):
            engine.forward("test", batch, "test", ("heat",))
            own = engine.blob("heat")[np.arange(len(batch["label"])), batch["label"]]
            peaks = own.reshape(len(own), -1).argmax(axis=1)
            inside = batch["disc"].reshape(len(own), -1)[np.arange(len(own)), peaks]
            hits += list(inside[batch["label"] < 3])
    assert scores["accuracy"] > 0.95
    assert len(hits) > 60 and np.mean(hits) > 0.95  # discs cover a tenth of a picture


def test_the_score_of_a_class_is_the_mean_of_its_map():
    with opened("cam", "data.batch_size=4") as (made, engine):
        engine.forward("test", next(made.feed.batches("val")), "val", ("cam", "score"))
        np.testing.assert_allclose(engine.blob("cam").mean(axis=(2, 3)), engine.blob("score"), rtol=1e-4, atol=1e-5)
        assert abs(engine.blob("score")).max() > 0.01


def test_what_the_denoising_autoencoder_gives_is_nearer_to_the_image_than_what_it_gets():
    shapes = ("net.noise.shape=[1, 8, 8]", "net.decode.num_output=64")
    with opened("denoising_autoencoder", *DIGITS, *shapes, "solver.max_epochs=20", device="cpu") as (made, engine):
        train(made, engine, 500)
        scores = evaluate(engine, made.feed, "test")
    assert scores["noise_error"] == pytest.approx(64 * 0.4**2 / 2, rel=0.1)
    assert scores["error"] < 0.5 * scores["noise_error"]


def test_the_decoder_of_the_denoising_autoencoder_is_its_encoder_transposed():
    assert [part.name for part in looked_at("denoising_autoencoder").net.store.segments.values()] == [
        "encode.weight", "encode.bias", "decode.bias",
    ]  # fmt: skip


def test_a_missing_value_teaches_its_head_nothing():
    with opened("multi_head", "data.batch_size=12", "net.where.propagate_down=false") as (made, engine):
        batch = made.feed.train_batch(0)
        assert 0 < batch["place.present"].sum() < 12
        before = gradients(engine, batch)
        missing = batch["place.present"] == 0
        gaps = {**batch, "place": np.where(missing[:, None], np.float32(7e3), batch["place"])}
        after = gradients(engine, gaps)
        nobody = gradients(engine, {**batch, "place.present": np.zeros(12, np.float32)})
    assert all((before[name] == after[name]).all() for name in before)
    for name in ("where.weight", "where.bias"):
        assert before[name].any() and not nobody[name].any()
    assert nobody["how_large.weight"].any() and (nobody["how_large.weight"] == before["how_large.weight"]).all()


def test_the_mean_of_a_loss_is_over_the_values_that_are_there():
    with opened("multi_head", "data.batch_size=12") as (made, engine):
        batch = made.feed.train_batch(0)
        graph = engine.pass_through("train", batch, "train")
        found = float(engine.memory.memory(graph.losses["place_error"], engine.plan)[0])
        engine.forward("test", batch, "val", ("where",))
        there = batch["place.present"] == 1
        off = ((engine.blob("where") - batch["place"]) ** 2)[there]
    assert found == pytest.approx(off.sum() / 2 / there.sum(), rel=1e-4)


def test_a_frozen_body_stays_bit_for_bit_and_patterns_set_the_rates_of_the_rest():
    with opened("multi_head", "data.batch_size=10") as (made, engine):
        before = parameters(engine)
        train(made, engine, 3)
        after = parameters(engine)
        rates = {part.name: part.spec.lr_mult for part in made.net.store.segments.values() if not part.frozen}
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert moved == set(rates) and not any(name.startswith("conv") for name in moved)
    assert rates == {"class.weight": 0.1, "hidden.weight": 1, "hidden.bias": 2, "where.weight": 1, "where.bias": 2,
                     "how_large.weight": 1, "how_large.bias": 2}  # fmt: skip


def test_the_learning_rates_of_caffes_cifar_nets():
    specs = {part.name: (part.spec.lr_mult, part.decay_mult) for part in looked_at("cifar10_full").net.store.segments.values()}
    assert specs == {
        "conv1.weight": (1, 1), "conv1.bias": (2, 1), "conv2.weight": (1, 1), "conv2.bias": (2, 1),
        "conv3.weight": (1, 1), "conv3.bias": (1, 1), "ip1.weight": (1, 250), "ip1.bias": (2, 0),
    }  # fmt: skip
    quick = {
        part.name: part.filler.std for part in looked_at("cifar10_quick").net.store.segments.values() if part.role == "weight"
    }
    assert quick == {"conv1.weight": 1e-4, "conv2.weight": 0.01, "conv3.weight": 0.01, "ip1.weight": 0.1, "ip2.weight": 0.1}


def test_a_new_head_learns_on_the_filters_of_another_lenet(tmp_path):
    with opened("lenet") as (made, engine):
        save(tmp_path / "w.h5", engine, made, Progress())
        old = parameters(engine)
    with opened("fine_tune", "data.batch_size=4", "seed=2") as (made, engine):
        said = made.weights
        assert said is not None
        assert str(weights.load(engine, (str(tmp_path / "w.h5"),), said.fresh)) == (
            "loaded conv1, conv2, ip1; fresh head; not in this net ip2"
        )
        train(made, engine, 1)
        new, rates = parameters(engine), {part.name: part.spec.lr_mult for part in made.net.store.segments.values()}
    assert (new["conv1.weight"] == old["conv1.weight"]).all() and (new["conv2.bias"] == old["conv2.bias"]).all()
    assert (new["ip1.weight"] != old["ip1.weight"]).any() and rates["head.weight"] == 10 * rates["ip1.weight"]


def test_the_sliding_lenet_says_at_each_place_what_lenet_says_of_it(tmp_path):
    with opened("lenet_sliding", "data.batch_size=2") as (made, engine):
        with opened("lenet") as (plain, one):
            save(tmp_path / "w.h5", one, plain, Progress())
            assert weights.load(engine, (str(tmp_path / "w.h5"),)).turned == ["ip1", "ip2"]
            batch = next(made.feed.batches("test"))
            engine.forward("test", batch, "test", ("digits",))
            wide = engine.blob("digits")
            assert wide.shape == (2, 10, 1, 3) and batch["label"].shape == (2, 1, 3)
            for place in range(3):
                cut = {
                    "data": np.ascontiguousarray(batch["data"][..., 32 * place : 32 * place + 28]),
                    "label": batch["label"][:, 0, place],
                }
                one.forward("test", cut, "test", ("ip2",))
                np.testing.assert_allclose(wide[:, :, 0, place], one.blob("ip2"), rtol=1e-3, atol=1e-4)


def test_a_deployed_denoising_autoencoder_adds_no_noise():
    net = looked_at("denoising_autoencoder").net
    assert {"noise", "noisy"} <= net.shapes["train"].keys()
    assert not {"noise", "noisy"} & net.shapes["deploy"].keys()
    assert "image" in net.shapes["deploy"]
