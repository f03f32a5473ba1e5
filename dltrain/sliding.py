"""dltrain convert: a net that slides over larger pictures, made of one that sees a whole picture at once, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dltrain import snapshot
from dltrain.apply import recalled
from dltrain.config import TOP, Config
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.errors import CheckFailed, ConfigError
from dltrain.flat import names_said, net_text, section
from dltrain.launch import engine_of
from dltrain.marks import parse
from dltrain.run import Run
from dltrain.sketch import sketch
from dltrain.surgery import Surgery
from dltrain.timing import made_up
from dltrain.translate.write import WEIGHTS, put_all, text_of, weights_of
from dltrain.vars import read_vars
from dltrain.weight_names import Arrays, layer_of
from dltrain.weights import kept, load

NEAR = 1e-4  # of the largest number: how far two ways of adding up may lie apart
WORDS = {True: ("sliding", "linear layers as convolutions"), False: ("linear", "convolutions over whole maps as linear layers")}


def convert(
    path: str, wide: bool, out: str, weights: str | None, settings: tuple[str, ...], force: bool, console: Console
) -> None:
    """dltrain convert CONFIG|RUN --fully-convolutional (`wide`) | --inner-product"""
    config, folder = sketch(path, settings), Path(out)
    surgery = Surgery(config)
    surgery.convolve() if wide else surgery.connect()
    name = f"{config.name.removesuffix(WORDS[not wide][0]).rstrip('_') or config.name}_{WORDS[wide][0]}"
    target, file = folder / f"{name}.yaml", folder / WEIGHTS
    for taken in (target, file) if not force else ():
        if taken.exists():
            raise ConfigError(f"{taken}: is there already; choose another folder with -o DIR, or overwrite it with --force")
    engine = engine_of(config, None, with_solver=False)
    try:
        files, fresh, computed = begun(path, config, engine, weights)
        arrays = changed(surgery, engine)
        said: Any = {"file": WEIGHTS, "fresh": list(fresh)} if fresh else WEIGHTS
        text = written(config, surgery, name, said if files else None, f"{Path(path).name} with {WORDS[wide][1]}.")
        apart = held(config, engine, parse(text, str(target)), arrays, list(surgery.weights))
    finally:
        engine.close()
    learnt = {name: array for name, array in arrays.items() if layer_of(name) not in fresh} | computed
    put_all(folder, ({WEIGHTS: weights_of(learnt)} if files else {}) | {target.name: text_of(text)})
    report(surgery, target, file if files else None, apart, console)


def begun(path: str, config: Config, engine: Engine, weights: str | None) -> tuple[tuple[str, ...], tuple[str, ...], Arrays]:
    """Fills the engine with what has been learnt; the files it came from, fresh layers, and what transforms had computed."""
    run = Run.find(Path(path))
    files: tuple[str, ...] = (weights,) if weights is not None else (str(run.weights()[0]),) if run is not None else ()
    fresh: tuple[str, ...] = ()
    if not files and config.weights is not None:
        files, fresh = config.weights.file, config.weights.fresh
    if files:
        load(engine, files, fresh)
    states = recalled(files[-1]) or {} if files else {}
    computed = {f"transforms/{number}/{name}": array for number, state in states.items() for name, array in state.items()}
    return files, fresh, computed


def changed(surgery: Surgery, engine: Engine) -> Arrays:
    """The engine's weights in their new shapes."""
    places = snapshot.paths(engine.net.store)
    shapes = {f"data/{places[f'{layer}/weight']}": (layer, shape) for layer, shape in surgery.weights.items()
              if f"{layer}/weight" in places}  # fmt: skip
    made: Arrays = {}
    for name, array in kept(engine).items():
        layer, shape = shapes.get(name, ("", array.shape))
        if "@" not in name:
            made[name] = np.array(array.T if layer in surgery.turned else array).reshape(shape)
    return made


def written(config: Config, surgery: Surgery, name: str, weights: Any, about: str) -> str:
    """The config as one flat text."""
    document = config.document
    values = {**config.values, "name": name, "seed": config.seed, "weights": weights}
    words = names_said(read_vars(document, document.value.get("vars")))
    parts = [f"# {about}\n"]
    for word in TOP:
        if word == "net":
            parts.append("net:\n" + net_text(surgery.lines, next(iter(config.feed.fields), None)))
        elif word == "vars":
            used = "$" in f"{values.get('data')}{values.get('solver')}"
            parts += [section("vars", words)] if used and words else []
        elif values.get(word) is not None and word != "blocks":
            parts.append(section(word, values[word]))
    return "".join(parts)


def held(config: Config, before: Engine, document: Any, arrays: Arrays, layers: list[str]) -> float:
    """Both nets on a made-up sample; the largest difference, over the largest number, in the layers that were changed."""
    from dltrain import config as configs
    from dltrain.sketch import fields_of

    after_config = configs.read(document.file, need_solver=False, document=document, promise=fields_of)
    after = engine_of(after_config, None, with_solver=False)
    try:
        for name, array in kept(after).items():
            if name in arrays:
                array[...] = arrays[name]
        batch = {name: rows[:1] for name, rows in made_up(config).items()}
        worst = 0.0
        tested = tuple(name for name in layers if name in config.net.shapes["test"])
        for engine in (before, after):
            engine.forward("test", batch, "test", upto=tested)
        for name in tested:
            x, y = (np.asarray(engine.blob(name), np.float64).reshape(-1) for engine in (before, after))
            if x.shape != y.shape:
                raise CheckFailed(f"'{name}' would have {len(y)} numbers instead of {len(x)}")
            worst = max(worst, float(np.abs(x - y).max() / max(np.abs(x).max(), 1e-30)))
    finally:
        after.close()
    if not worst <= NEAR:
        raise CheckFailed(f"the two nets do not compute the same: {worst:.1e} of the largest number apart; nothing was written")
    return worst


def report(surgery: Surgery, target: Path, file: Path | None, apart: float, console: Console) -> None:
    shapes = {layer: list(shape) for layer, shape in surgery.weights.items()}
    made = {"config": str(target), "weights": None if file is None else str(file), "layers": shapes, "difference": apart}
    rows = [f"{target}" + ("" if file is None else f", {file}")]
    rows += [f"{layer}: {' x '.join(map(str, shape))}" for layer, shape in shapes.items()]
    console.result(made, "\n".join([*rows, f"both nets on one made-up sample: {apart:.1e} of the largest number apart"]))
