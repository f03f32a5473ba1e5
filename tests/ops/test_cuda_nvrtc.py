"""What a GPU would be given compiles: all kernels, and all texts that nets, layers and solvers make; no device is needed."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from math import prod
from multiprocessing import get_context
from typing import Any

import pytest

from dltrain.devices import cores
from dltrain.engine import Engine
from dltrain.errors import DataError
from dltrain.memory import Memory
from dltrain.net import Net
from dltrain.ops.cuda import Cuda, compiler
from dltrain.ops.cuda.runner import OnHost
from dltrain.ops.cuda.texts import DEFINED as DECLARED
from dltrain.ops.cuda.texts import files, kernels_of, text_of
from dltrain.program import Program
from dltrain.registry import LAYERS, SOLVERS
from dltrain.tensor import Shape
from dltrain.wiring import Line
from tests import zoo
from tests.ops.test_cuda_layers import EXAM

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
NAMES = sorted(path.stem for path in zoo.CONFIGS.glob("*.yaml"))
DEEPER = {f"resnet{depth}" for depth in (32, 34, 44, 56, 101, 110, 152)}  # of the layers of others
DEFINED = re.compile(r"^#define \w+ .+$", re.MULTILINE)
SHORT = re.compile(r"^(?:BLOCK_)?KERNEL\s+(\w+)\s*\([^)]*?\b(bf16|fp16) \*", re.MULTILINE)  # a kernel, and one of its types
TILED = ("gemm", "gather", "weights")  # kernels that make products

needs_nvrtc = pytest.mark.skipif(not compiler.is_there(), reason=compiler.MISSING)


class Recorder:
    """A device with addresses and no memory: it launches nothing, and notes which texts it is asked for."""

    name, arch, processors = "a notebook", "", 132

    def __init__(self) -> None:
        self.top, self.place = 1 << 20, ""
        self.texts: dict[str, str] = {}  # text -> who asked for it first

    def alloc(self, size: int) -> tuple[int, object]:
        self.top += -(-size // 256) * 256 + 256
        return self.top, None

    def function(self, text: str, name: str) -> None:
        self.texts.setdefault(text, self.place)

    def free_bytes(self) -> int:
        return 0  # not known

    def flag(self) -> None: ...

    def nothing(self, *args: Any) -> None: ...

    upload = download = copy = clear = pinned = send = raise_flag = wait_for = launch = capture = synchronize = close = nothing


def on_host(program: Program) -> set[str]:
    """The ops that no kernel does."""
    return {kernel.call.op.name for segment in program.segments for kernel in segment[0] if isinstance(kernel, OnHost)}


@pytest.fixture(scope="module")
def asked() -> dict[str, str]:
    """Every text that a net of configs/, a layer of the catalogue or a solver needs, and who."""
    recorder = Recorder()
    for name in NAMES:
        recorder.place = f"configs/{name}.yaml"
        bind_net(name, Cuda(recorder))  # type: ignore[arg-type]
    for row in EXAM.ROWS:
        recorder.place = f"a row of {row.id}"
        for train in (True, False):
            bind_layer(*row.values, recorder, train)
    for name in SOLVERS:
        recorder.place = f"the solver {name}"
        bind_solver(name, recorder)
    return recorder.texts


@pytest.fixture(scope="module")
def asked_short() -> dict[str, str]:
    """Every text that nets of configs/ need in bf16, and those of one in fp16."""
    recorder = Recorder()
    wanted = [(name, "bf16") for name in NAMES if name not in DEEPER] + [("lenet", "fp16")]
    for name, precision in wanted:
        recorder.place = f"configs/{name}.yaml in {precision}"
        bind_net(name, Cuda(recorder, precision))  # type: ignore[arg-type]
    return recorder.texts


def bind_net(name: str, cuda: Cuda) -> None:
    """Its train step and its test pass, at the batch size that it says."""
    try:
        config = zoo.read(name)
    except DataError:  # its shapes hang on data that are not here
        return
    engine, size = Engine(config.net, cuda, config.solver), config.feed.batch_size("train")
    engine.program(config.net.graph("test", (size,)))
    step = engine.program(config.net.graph("train", (size,)), update=True)
    assert on_host(step) == set(), f"{name}: a step waits for the host"


def bind_layer(layer: Any, shapes: Any, recorder: Any, train: bool) -> None:
    cuda = Cuda(recorder)
    chain = EXAM.Chain(layer, EXAM.whole(shapes), cuda, train, fast=True)
    memory = Memory(chain.store, cuda)
    memory.reserve(chain.plan.arena)
    Program(chain.plan, cuda, memory)


def bind_solver(name: str, recorder: Any) -> None:
    lines = [Line("ip", LAYERS["InnerProduct"](num_output=3)), Line("loss", LAYERS["EuclideanLoss"](), ["ip", "label"])]
    net = Net(lines, {"data": Shape((4,)), "label": Shape((3,))})
    keys = {"window": 3} if name == "WindowedAdaGrad" else {}
    solver = SOLVERS[name](base_lr=0.1, weight_decay=0.1, max_norm=1.0, clip_weights=1.0, **keys)
    Engine(net, Cuda(recorder), solver).program(net.graph("train", (2,)), update=True)


def unlike(texts: dict[str, str]) -> Iterator[str]:
    """The texts with a line, or two definitions together, that no text before them has."""
    seen: set[object] = {line for file in files() for line in text_of(file).splitlines()}
    for text in texts:
        kernel = kernels_of(text)[0].name
        parts = {*text.splitlines(), *((kernel, *pair) for pair in combinations(DEFINED.findall(text), 2))}
        if not parts <= seen:
            seen |= parts
            yield text


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """NVRTC compiles one text at a time in a process: so several of these."""
    with ProcessPoolExecutor(min(4, cores()), mp_context=get_context("spawn")) as made:
        yield made


def cubins(pool: ProcessPoolExecutor, texts: list[str], arch: str) -> list[bytes | str]:
    """What becomes of each text, or what the compiler has against it."""
    work = [pool.submit(compiler.compiled, text, arch) for text in texts]
    return [str(each.exception()) if each.exception() else each.result() for each in work]


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_files_of_kernels_compile(pool: ProcessPoolExecutor, arch: str) -> None:
    texts = [text_of(file) for file in files()]
    made = cubins(pool, texts, arch)
    assert not [cubin for cubin in made if isinstance(cubin, str)]
    for text, cubin in zip(texts, made, strict=True):
        assert {kernel.name for kernel in kernels_of(text)} <= set(stacks(cubin))


@needs_nvrtc
def test_what_nets_and_layers_and_solvers_make_compiles(pool: ProcessPoolExecutor, asked: dict[str, str]) -> None:
    """The sums of tiles stay in registers: a stack that could hold them would."""
    all_compile(pool, {text: asked[text] for text in unlike(asked)})


@needs_nvrtc
def test_what_nets_make_of_short_numbers_compiles(
    pool: ProcessPoolExecutor, asked: dict[str, str], asked_short: dict[str, str]
) -> None:
    all_compile(pool, merged({text: asked_short[text] for text in unlike(asked | asked_short) if text not in asked}))


def all_compile(pool: ProcessPoolExecutor, asked: dict[str, str]) -> None:
    for (text, place), cubin in zip(asked.items(), cubins(pool, list(asked), "sm_90"), strict=True):
        assert isinstance(cubin, bytes), f"{place}: {cubin}"
        sums = 4 * prod(int(size) for size in re.findall(r"^#define (?:TALL|WIDE) (\d+)", text, re.MULTILINE)[:2])
        large = {name: size for name, size in stacks(cubin).items() if name in TILED and size >= sums}
        assert not large, f"{place}: {sums} bytes of sums, and stacks of {large}"


def merged(asked: dict[str, str]) -> dict[str, str]:
    """Texts that differ only in the types of their kernels, as few texts: each signature stands in one of them."""
    groups: dict[str, tuple[str, dict[str, list[str]]]] = {}
    for text in asked:
        _, kernels = groups.setdefault(DECLARED.sub(lambda found: found[2], text), (text, {}))
        for found in DECLARED.finditer(text):
            if "real" not in found[3] and found[0] not in kernels.setdefault(found[2], []):
                kernels[found[2]].append(found[0])
    made = dict[str, str]()
    for text, kernels in groups.values():
        for number in range(max(map(len, kernels.values()), default=1)):
            nth = {name: said[number] for name, said in kernels.items() if number < len(said)}
            made[DECLARED.sub(lambda found: nth.get(found[2], found[0]), text)] = asked[text]
    return made


def test_texts_of_all_kinds_are_asked_for(asked: dict[str, str]) -> None:
    """So that the test above looks at what it says."""
    kernels = {kernel.name for text in asked for kernel in kernels_of(text)}
    assert {"map", "point", "move", "gemm", "gather", "lstm", "lrn", "embed"} <= kernels
    assert sum("KERNEL move(float *w" in text for text in asked) >= len(SOLVERS) - 2  # some are a rule in other words
    assert "configs/alexnet.yaml" in asked.values()


def test_texts_of_all_kinds_are_asked_for_in_short_numbers(asked_short: dict[str, str]) -> None:
    found = {kernel for text in asked_short for kernel in SHORT.findall(text)}
    assert found >= {
        (name, "bf16") for name in ("map", "point", "move", "gemm", "gather", "weights", "channel_norm", "lrn_image")
    }
    assert found >= {(name, "fp16") for name in ("map", "gemm", "gather", "max_pool_image")}
    assert "configs/alexnet.yaml in bf16" in asked_short.values()


# --- what a cubin says of its kernels ---
def stacks(cubin: bytes) -> dict[str, int]:
    """The bytes of a thread's stack by kernel, from the notes of an ELF file."""
    (heads,), (size, count, of_names) = struct.unpack_from("<Q", cubin, 40), struct.unpack_from("<HHH", cubin, 58)
    sections = [struct.unpack_from("<IIQQQQ", cubin, heads + size * number) for number in range(count)]
    found = {word(cubin, sections[of_names][4] + name): cubin[at : at + length] for name, _, _, _, at, length in sections}
    notes, symbols, made, at = found[".nv.info"], found[".symtab"], dict[str, int](), 0
    while at < len(notes):
        form, kind, length = struct.unpack_from("<BBH", notes, at)
        if (form, kind) == (4, 0x11):  # a symbol, and the size of its frame
            symbol, bytes_of_stack = struct.unpack_from("<II", notes, at + 4)
            made[word(found[".strtab"], *struct.unpack_from("<I", symbols, 24 * symbol))] = bytes_of_stack
        at += 4 + (length if form == 4 else 0)
    return made


def word(raw: bytes, at: int) -> str:
    return raw[at : raw.index(b"\0", at)].decode()
