"""The state of a solver of Caffe: .solverstate and .solverstate.h5, read and written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dltrain.caffe import hdf5
from dltrain.caffe.blobs import blob, checked, write_bytes
from dltrain.caffe.message import Message
from dltrain.caffe.wire import read_wire, write_wire
from dltrain.errors import DataError


@dataclass
class State:
    """iter           updates applied
    learned_net    where the weights are, as the solver wrote it; "" where it did not
    current_step   how many steps of `multistep` have been taken
    history        the solver's memory: an array a weight, then (AdaDelta, Adam) a second one each
    """

    iter: int
    learned_net: str = ""
    current_step: int = 0
    history: list[Any] = field(default_factory=list)


def read_state(path: Path) -> State:
    """The state in a file, binary or HDF5 as its content says."""
    if hdf5.looks_like(path):
        count, learned_net, step, history = hdf5.read_state(path)
        return State(count, learned_net, step, history)
    message = read_wire(path, "SolverState")
    if "iter" not in message:
        raise DataError(f"{path}: has no iteration; expected a .solverstate")
    history = [checked(each, f"{path}: history {index}") for index, each in enumerate(message.all("history"))]
    return State(message["iter"], message["learned_net"] or "", message["current_step"], history)


def write_state(path: Path, state: State) -> None:
    """The state as .solverstate, or (.h5) as .solverstate.h5."""
    if path.suffix == ".h5":
        hdf5.write_state(path, state.iter, state.learned_net, state.current_step, state.history)
        return
    message = Message("SolverState").put("iter", state.iter).put("learned_net", state.learned_net)
    message.add("history", *map(blob, state.history)).put("current_step", state.current_step)
    write_bytes(path, write_wire(message))
