"""From a run to a snapshot and back: what is saved, and how an engine takes it up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain import snapshot
from dltrain.config import Config
from dltrain.engine import SCALING, Engine
from dltrain.progress import Progress
from dltrain.snapshot import Snapshot


def arrays(engine: Engine) -> dict[str, Any]:
    """The engine's arrays under the names of the file."""
    names = snapshot.paths(engine.net.store)
    made = {}
    for path, array in engine.state_arrays().items():
        group, _, rest = path.partition("/")
        if group == "slots":
            slot, _, rest = rest.partition("/")
            made[f"slots/{slot}/{names[rest]}"] = array
        else:
            made[f"{group}/{names[rest]}" if group == "data" else f"{group}/{rest.replace('/', '%2F')}"] = array
    return made


def pack(engine: Engine, config: Config, progress: Progress) -> Snapshot:
    """Everything a run needs to go on."""
    progress.forwards = engine.step_count
    transforms = {
        f"transforms/{number}/{name}": value for number, state in config.feed.state().items() for name, value in state.items()
    }
    run = {"progress": progress.record(), "config": config.values, "environment": engine.environment()}
    return Snapshot({**arrays(engine), **transforms}, run)


def save(path: Path, engine: Engine, config: Config, progress: Progress) -> None:
    snapshot.write(path, pack(engine, config, progress))


def load(path: Path, made: Snapshot, engine: Engine, weights_only: bool = False) -> None:
    """Puts a snapshot's arrays into the engine; SnapshotError where they are another net's."""
    wanted = arrays(engine)
    if weights_only:
        wanted = {name: array for name, array in wanted.items() if name.startswith(("data/", "states/"))}
        given = {name: array for name, array in made.arrays.items() if name.startswith(("data/", "states/"))}
    else:
        given = {name: array for name, array in made.arrays.items() if not name.startswith("transforms/")}
        for other, names in ((given, wanted), (wanted, given)):  # another precision has another scaling, or none
            for name in [name for name in other if name.startswith(f"{SCALING}/") and name not in names]:
                del other[name]
    snapshot.fit(path, given, wanted)
    for name, array in wanted.items():
        array[...] = given[name]


def transforms(made: Snapshot) -> dict[str, dict[str, Any]]:
    """What the transforms had computed: number -> name -> array."""
    found: dict[str, dict[str, Any]] = {}
    for path, array in made.arrays.items():
        if path.startswith("transforms/"):
            _, number, name = path.split("/", 2)
            found.setdefault(number, {})[name] = array
    return found


def state_hash(engine: Engine, progress: Progress) -> str:
    """One word for the whole state: weights, slots, states, counters, scores, early stopping; equal after a resume."""
    import json

    progress.forwards = engine.step_count
    return snapshot.digest(arrays(engine), json.dumps(progress.exact, sort_keys=True))
