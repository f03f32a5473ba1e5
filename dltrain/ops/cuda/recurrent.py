"""How a GPU does recurrent nets: the products with x of all steps at once, then step by step; the weights' gradients at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, recipe
from dltrain.ops.cuda.gates import CELLS
from dltrain.ops.cuda.launch import view
from dltrain.ops.cuda.moves import move, seen
from dltrain.ops.cuda.steps import Part, Room, Rows, States, Weights, turned
from dltrain.ops.reference.recurrent import ROLES
from dltrain.ops.signature import Call


def known(call: Call) -> bool:
    """Borders and masks are numbers or integers."""
    return all(call.args[name] is None or call.args[name].dtype in ("float", "index") for name in ("cont", "mask"))


class Stack:
    """The parts of a call, and the launches of what lies between them; inside, time comes first."""

    def __init__(self, call: Call, arrays: Arrays, cuda: Cuda) -> None:
        self.call, self.arrays, self.cuda, self.room = call, arrays, cuda, Room(cuda)
        self.kind, self.time, names = (call.args[name] for name in ("kind", "time", "names"))
        given = dict(zip(names, (arrays.memory(tensor) for tensor in call.args["weights"]), strict=True))
        self.ends = [name.removeprefix("weight_x") for name in names if name.startswith("weight_x")]
        self.ways = 2 if "_reverse" in self.ends else 1
        self.weights = [self.of_part(given, end) for end in self.ends]
        self.units = self.weights[0]["weight_h"].shape[1]
        self.width = self.ways * self.units  # of what a level puts out
        first, second = (*call.args["x"].shape, 1)[:2]
        self.samples, self.steps = {0: (second, first), 1: (first, second), None: (first, 1)}[self.time]
        self.rows = self.steps * self.samples
        self.launches: list[Kernel] = []
        self.marks = [(self.mark("cont", way, 0), self.mark("mask", way, 1)) for way in range(self.ways)]

    def of_part(self, given: Weights, end: str) -> Weights:
        return {role: given[role + end] for role in ROLES if role + end in given}

    def part(self, number: int) -> Part:
        way = number % self.ways
        sizes = self.steps, self.samples, self.units
        return Part(self.room, self.kind, self.weights[number], *sizes, bool(way), *self.marks[way])

    def parts_of(self, level: int) -> range:
        return range(level * self.ways, (level + 1) * self.ways)

    @property
    def levels(self) -> int:
        return len(self.ends) // self.ways

    def wants(self, name: str) -> bool:
        return self.call.args[name] is not None

    # --- bottoms and tops ---
    def apart(self, width: int) -> tuple[int, int]:
        """How far times and samples of x, y, cont and mask lie apart."""
        return (width, self.steps * width) if self.time == 1 else (self.samples * width, width)

    def mark(self, name: str, way: int, mask: int) -> DeviceArray | None:
        """cont or mask as the steps of a way meet it."""
        if self.call.args[name] is None:
            return None
        x, to = self.arrays.memory(self.call.args[name]), self.cuda.scratch(self.steps, self.samples)
        kernel = "marks_of_floats" if x.dtype.kind == "f" else "marks_of_integers"
        sizes = *self.apart(1), way, mask, self.steps, self.samples
        self.launches.append(self.cuda.each("recurrent", kernel, self.rows, x, to, *sizes))
        return to

    def in_time(self, name: str) -> tuple[DeviceArray, Any]:
        """x or dx in its own shape, and its view with time first; None where its memory is so already."""
        x = self.arrays.logical(self.call.args[name])
        if x.is_plain and (self.time != 1 or 1 in (self.steps, self.samples)):
            return x, None
        return x, view(x, (1, 0, *range(2, x.ndim))) if self.time == 1 else view(x)

    def plain(self, x: DeviceArray, of_x: Any, rows: int) -> DeviceArray:
        """(rows, …) of what is read, in the order of its view."""
        if of_x is None:
            return x.reshape(rows, -1)
        to = self.cuda.scratch(rows, x.size // rows, dtype=x.dtype)
        self.launches += move(self.cuda, x, to, of_x, view(to), x.size)
        return to

    def target(self, x: DeviceArray, of_x: Any, rows: int) -> DeviceArray:
        """Where (rows, …) of what is written is made; `leave` brings it to its place."""
        return x.reshape(rows, -1) if of_x is None else self.cuda.scratch(rows, x.size // rows)

    def leave(self, made: DeviceArray, x: DeviceArray, of_x: Any) -> None:
        if of_x is not None:
            self.launches += move(self.cuda, made, x, view(made), of_x, x.size)

    def static(self, name: str) -> tuple[DeviceArray, Any]:
        x = self.arrays.logical(self.call.args[name])
        return x, None if x.is_plain else view(x)

    def lying(self, name: str) -> Rows:
        """y or dy."""
        return Rows(self.arrays.memory(self.call.args[name]).reshape(-1), *self.apart(self.width))

    def between(self, x: DeviceArray) -> Rows:
        """What lies between two levels."""
        return Rows(x.reshape(-1), self.samples * self.width, self.width)

    def of_way(self, all: Rows, way: int) -> Rows:
        return all._replace(array=all.array[way * self.units :])

    # --- states ---
    def spot(self, name: str, number: int) -> tuple[DeviceArray, Any, int]:
        """An array of states, the view of one part's, and where that begins."""
        array, parts = self.arrays.logical(self.call.args[name]), len(self.ends)
        n, part, unit = array.strides[1:] if array.ndim == 4 else (parts * self.units, self.units, 1)
        return array, seen((self.samples, self.units), (n, unit)), number * part

    def begin(self, to: DeviceArray, number: int, *names: str) -> None:
        """The first of these states that is given, else 0."""
        for name in names:
            if self.wants(name):
                array, of_array, at = self.spot(name, number)
                self.launches += move(self.cuda, array, to, of_array, view(to), to.size, x_at=at)
                return
        self.launches.append(self.cuda.each("elementwise", "fill", to.size, to, 0.0))

    def end(self, made: DeviceArray, number: int, *names: str) -> None:
        """To all of these that are wanted."""
        for name in filter(self.wants, names):
            array, of_array, at = self.spot(name, number)
            self.launches += move(self.cuda, made, array, view(made), of_array, made.size, y_at=at)

    def tape(self, number: int) -> States:
        """The notes of a part, if any are taken."""
        notes = [self.arrays.memory(tensor) for tensor in self.call.args["tape"]]
        size = len(notes) // len(self.ends)
        return notes[number * size : (number + 1) * size]

    def read(self, level: int) -> DeviceArray:
        """(rows, …) that a level has read: x, or what the level below has put out (a part's first note, but its start)."""
        if level == 0:
            return self.plain(*self.in_time("x"), self.rows)
        outs: list[DeviceArray] = [
            self.tape(number)[0].reshape(-1)[-self.rows * self.units :] for number in self.parts_of(level - 1)
        ]
        if self.ways == 1 and self.marks[0][1] is None:
            return outs[0].reshape(self.rows, self.units)
        to = self.cuda.scratch(self.rows, self.width)
        for way, out in enumerate(outs):
            part = self.part(way)
            self.launches.append(part.marked(out, part.live, self.of_way(self.between(to), way), self.units))
        return to


# --- forth ---
def products(stack: Stack, part: Part, below: DeviceArray, a: DeviceArray) -> None:
    """a = W_x x + b [+ W_s x_static], of all steps."""
    w, flat = part.weights, a.reshape(stack.rows, -1)
    stack.launches += part.gemm(below, turned(w["weight_x"]), flat, w.get("bias"))
    if "weight_static" in w:
        once = stack.cuda.scratch(stack.samples, flat.shape[1])
        static = stack.plain(*stack.static("x_static"), stack.samples)
        stack.launches += part.gemm(static, turned(w["weight_static"]), once)
        stack.launches.append(stack.cuda.each("recurrent", "at_every_step", a.size, once, a, once.size))


def forwards(stack: Stack, number: int, below: DeviceArray, a: DeviceArray, out: Rows) -> None:
    """All steps of a part, from its first states to its last."""
    part, names = stack.part(number), (("carried", "h0", "state"), ("carried_cell", "c0", "cell"))
    products(stack, part, below, a)
    launches, starts, ends = CELLS[stack.kind][0](part, a, stack.tape(number), out)
    for state, (carried, first, _) in zip(starts, names):
        stack.begin(state, number, carried, first)
    stack.launches += launches
    for state, (carried, _, last) in zip(ends, names):
        stack.end(state, number, carried, last)


@recipe("recurrent", fits=known, short="x x_static h0 y state")
def recurrent(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    stack = Stack(call, arrays, cuda)
    below = stack.read(0)
    in_place = stack.kind == "lstm" and bool(call.args["tape"])  # the gates are made of their sums where these are
    sizes = stack.steps, stack.samples, len(stack.weights[0]["weight_x"])
    a = None if in_place and stack.ways == 1 else cuda.scratch(*sizes)
    for level in range(stack.levels):
        on_top = level == stack.levels - 1
        made = None if on_top else cuda.scratch(stack.rows, stack.width)
        out = stack.lying("y") if made is None else stack.between(made)
        for way, number in enumerate(stack.parts_of(level)):
            with stack.room.again():
                sums = stack.tape(number)[1] if in_place and way == 0 else a
                assert sums is not None
                forwards(stack, number, below, sums, stack.of_way(out, way))
        below = below if made is None else made
    stack.room.close()
    return stack.launches


# --- and back ---
def grads_of(call: Call, arrays: Arrays, end: str) -> Weights:
    """The gradients of a part's weights that are wanted, by role."""
    made = dict(zip(call.args["learns"], (arrays.memory(tensor) for tensor in call.args["dweights"]), strict=True))
    return {role: made[role + end] for role in ROLES if role + end in made}


def static_back(stack: Stack, part: Part, da: DeviceArray, grads: Weights, dstatic: DeviceArray | None, add: bool) -> None:
    """What the sum of all steps does to W_s and x_static."""
    if "weight_static" not in part.weights or ("weight_static" not in grads and dstatic is None):
        return
    whole = stack.cuda.scratch(stack.samples, da.shape[-1])
    stack.launches.append(stack.cuda.each("recurrent", "over_steps", whole.size, da, whole, stack.steps))
    if "weight_static" in grads:
        static = stack.plain(*stack.static("x_static"), stack.samples)
        stack.launches += part.learn(whole, static, grads["weight_static"], None)
    if dstatic is not None:
        stack.launches += part.gemm(whole, part.weights["weight_static"], dstatic, add=add)


def starts_back(stack: Stack, part: Part, ds: States, number: int) -> None:
    """dh0, which the first step has left to be multiplied by its keep, and dc0."""
    if stack.wants("dh0"):
        if part.keep is not None:
            args = part.at(part.keep, 0), stack.units
            stack.launches.append(stack.cuda.each("recurrent", "keep", ds[0].size, ds[0], *args))
        stack.end(ds[0], number, "dh0")
    if stack.wants("dc0"):
        stack.end(ds[1], number, "dc0")


def backwards(stack: Stack, number: int, read: DeviceArray, dy: Rows, ds: States, da: DeviceArray, below: DeviceArray | None,
              by_static: DeviceArray | None, add: bool) -> None:  # fmt: skip
    """All steps of a part back; the level's first part writes what goes below, the other adds to it."""
    part, grads = stack.part(number), grads_of(stack.call, stack.arrays, stack.ends[number])
    for d, name in zip(ds, ("dstate", "dcell")):
        stack.begin(d, number, name)
    stack.launches += CELLS[stack.kind][1](part, stack.tape(number), dy, ds, da, grads, stack.wants("dh0"))
    stack.launches += part.learn(da, read, grads.get("weight_x"), grads.get("bias"))
    static_back(stack, part, da, grads, by_static, add)
    if below is not None:
        stack.launches += part.gemm(da.reshape(stack.rows, -1), part.weights["weight_x"], below, add=add)
    starts_back(stack, part, ds, number)


@recipe("recurrent_grad", fits=known, short="x x_static dy dstate dx dx_static dh0")
def recurrent_grad(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    stack = Stack(call, arrays, cuda)
    da = cuda.scratch(stack.steps, stack.samples, len(stack.weights[0]["weight_x"]))
    ds = [cuda.scratch(stack.samples, stack.units) for _ in range(2 if stack.kind == "lstm" else 1)]
    dx, of_dx = stack.in_time("dx") if stack.wants("dx") else (None, None)
    dstatic, of_dstatic = stack.static("dx_static") if stack.wants("dx_static") else (None, None)
    by_static = None if dstatic is None else stack.target(dstatic, of_dstatic, stack.samples)
    above = stack.lying("dy")
    for level in reversed(range(stack.levels)):
        read, parts = stack.read(level), stack.parts_of(level)
        below = cuda.scratch(stack.rows, stack.width) if level else None if dx is None else stack.target(dx, of_dx, stack.rows)
        for number in reversed(parts):
            with stack.room.again():
                dy = stack.of_way(above, number % stack.ways)
                backwards(stack, number, read, dy, ds, da, below, by_static, add=number != parts[-1])
        above = above if below is None else stack.between(below)
    for made, to, of_to in ((below, dx, of_dx), (by_static, dstatic, of_dstatic)):
        if made is not None and to is not None:
            stack.leave(made, to, of_to)
    stack.room.close()
    return stack.launches
