"""Weights and the memory of a solver, from the order of Caffe's blobs to the places of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain.caffe.blobs import read_weights
from dltrain.errors import DataError
from dltrain.translate.caffe_net import Lines
from dltrain.translate.caffe_params import STATES, Param


def escaped(name: str) -> str:
    return name.replace("/", "%2F")


def places(lines: Lines) -> dict[int, list[str]]:
    """Piece -> where each of its blobs is in a snapshot; "" for one that is another layer's."""
    params: dict[str, list[Param]] = {}
    for one in lines.params:
        params.setdefault(one.line, []).append(one)
    found: dict[int, list[str]] = {}
    for number, names in lines.of.items():
        name, row, count = names[0], [], 0
        for one in params.get(name, []):
            row.append("" if one.owner is not None else f"data/{escaped(name)}/{count}")
            count += one.owner is None
        type = lines.assembly.pieces[number].type
        row += [f"states/{escaped(name)}.{state}" for state in STATES.get(type, ())]
        if row:
            found[number] = row
    return found


def load(lines: Lines, files: list[Path], notes: list[str]) -> dict[str, Any]:
    """The weights of the files by their places; later files override earlier ones, as in Caffe."""
    where = places(lines)
    made: dict[str, Any] = {}
    pieces = lines.assembly.pieces
    for path in files:
        waiting: dict[str, list[list[Any]]] = {}
        for name, blobs in read_weights(path):
            waiting.setdefault(name, []).append(blobs)
        for number, row in where.items():
            found = waiting.get(pieces[number].theirs)
            if not found:
                continue
            blobs = found.pop(0) if len(found) > 1 or last(lines, number) else found[0]
            if len(blobs) != len(row):
                raise DataError(f"{path}: layer '{pieces[number].theirs}' has {len(blobs)} blobs, and {pieces[number].where} "
                                f"takes {len(row)}; the file is of another net")  # fmt: skip
            made |= {place: blob for place, blob in zip(row, blobs) if place}
        strange = [name for name, rest in waiting.items() if rest and name not in {pieces[number].theirs for number in where}]
        if strange:
            shown = ", ".join(strange[:6]) + (f" and {len(strange) - 6} more" if len(strange) > 6 else "")
            notes.append(f"{path.name}: weights of {shown} are not used: there is no such layer with parameters")
    return made


def last(lines: Lines, number: int) -> bool:
    """Whether no further piece has the same name."""
    pieces = lines.assembly.pieces
    return not any(other > number and pieces[other].theirs == pieces[number].theirs for other in lines.of)


def slots(lines: Lines, history: list[Any], names: tuple[str, ...], path: Path) -> dict[str, Any]:
    """The memory of a solver by its places: all blobs of the training net in its order, then all of them once more."""
    where = places(lines)
    order = [place for number in lines.assembly.order["train"] for place in where.get(number, []) if place]
    if len(history) != len(names) * len(order):
        raise DataError(f"{path}: remembers {len(history)} blobs, and the training net with this solver "
                        f"{len(names) * len(order)}: it is of another net, or of another solver")  # fmt: skip
    pairs = zip([(slot, place) for slot in names for place in order], history)
    return {f"slots/{slot}/{place.removeprefix('data/')}": array for (slot, place), array in pairs if place.startswith("data/")}
