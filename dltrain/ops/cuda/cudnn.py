"""Convolutions by cuDNN, NVIDIA's library: the one place that knows its Python front end.  Its kernels stand beside our own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda import compiler
from dltrain.ops.cuda.array import BF16, FP16, DeviceArray
from dltrain.ops.cuda.backend import Cuda
from dltrain.ops.cuda.elementwise import added, cast, of_type
from dltrain.ops.cuda.tuning import Given, Way, there
from dltrain.ops.window import Window

MOST_WORKSPACE = 256 << 20  # bytes
OFFERS = 16
UIDS = {"x": 1, "w": 2, "bias": 3, "y": 4}  # as cuDNN calls the tensors of each of the three products
NEVER = ("DOWN_CONVERT_INPUTS", "NONDETERMINISTIC")  # kernels that round what they read, or add in any order
EXACT = ("TENSOR_CORE",)  # they read TF32
DIRECT = ("WINOGRAD", "WINOGRAD_TILE_4x4", "WINOGRAD_TILE_6x6", "WINOGRAD_TILE_13x13", "FFT")  # less exact than the sum itself
UNWANTED = {"tf32": NEVER, "bf16": NEVER, "fp16": NEVER, "strict": (*NEVER, *EXACT, *DIRECT)}
TYPES = {np.dtype(np.float32): "FLOAT", BF16: "BFLOAT16", FP16: "HALF"}


@cache
def front_end() -> Any:
    """The module, or None where it or its library is missing.  NVRTC comes first: cuDNN does not find its parts by itself."""
    if importlib.util.find_spec("cudnn") is None or not compiler.is_there():
        return None
    compiler.nvrtc()
    try:
        import cudnn

        cudnn.backend_version()
    except Exception:  # whatever is missing of it: there are kernels of our own
        return None
    return cudnn


def version() -> str:
    found = front_end()
    return "no cuDNN" if found is None else f"cuDNN {found.backend_version()}, front end {found.__version__}"


@cache
def handle(device: int) -> Any:
    """Of the device that is in use."""
    return front_end().create_handle()


def channels_last(sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Sizes in memory order (N, H, W, C) as cuDNN wants them: N, C, H, W, and their steps."""
    n, h, w, c = sizes
    return [n, c, h, w], [h * w * c, 1, w * c, c]


class Graph:
    """One convolution, or one of its gradients, and the plans that cuDNN has for it.

    kind        conv: y = conv(x, w) (+ bias) (> 0);   conv_dx: y = conv_dx(w, x);   conv_dw: w = conv_dw(x, y)
    All tensors are of one type, `stored`; what is computed is float32, of float32 as `precision` says.
    """

    def __init__(
        self, kind: str, sizes: dict[str, Sequence[int]], window: Window, precision: str, rectifies: bool, stored: str = "FLOAT",
        **place: Any,
    ) -> None:  # fmt: skip
        dnn = front_end()
        real, modes = dnn.data_type.FLOAT, dnn.heur_mode
        io = getattr(dnn.data_type, stored)
        self.graph = dnn.pygraph(io_data_type=io, intermediate_data_type=real, compute_data_type=real, **place)
        self.sizes = sizes
        self.emit(kind, {"padding": list(window.pad), "stride": list(window.stride), "dilation": list(window.steps)}, rectifies)
        self.graph.validate()
        self.graph.build_operation_graph()
        self.graph.create_execution_plans([modes.A, modes.B, modes.FALLBACK])
        notes = UNWANTED.get(precision, (*NEVER, *EXACT))
        self.graph.deselect_numeric_notes(
            [getattr(dnn.numerical_note, note) for note in notes if hasattr(dnn.numerical_note, note)]
        )
        self.graph.deselect_workspace_greater_than(MOST_WORKSPACE)

    def tensor(self, name: str) -> Any:
        sizes, steps = channels_last(self.sizes[name])
        return self.graph.tensor(name=name, dim=sizes, stride=steps, uid=UIDS[name])

    def emit(self, kind: str, geometry: dict[str, Any], rectifies: bool) -> None:
        graph = self.graph
        if kind == "conv":
            made, name = graph.conv_fprop(self.tensor("x"), self.tensor("w"), **geometry), "y"
            made = graph.bias(made, self.tensor("bias")) if "bias" in self.sizes else made
            made = graph.relu(made) if rectifies else made
        elif kind == "conv_dx":
            made, name = graph.conv_dgrad(loss=self.tensor("x"), filter=self.tensor("w"), **geometry), "y"
        else:
            made, name = graph.conv_wgrad(image=self.tensor("x"), loss=self.tensor("y"), **geometry), "w"
        sizes, steps = channels_last(self.sizes[name])
        made.set_output(True).set_dim(sizes).set_stride(steps).set_uid(UIDS[name])

    def plans(self, most: int = OFFERS) -> list[str]:
        """The names of those that can be built, the most promising first."""
        found: list[str] = []
        for number in range(self.graph.get_execution_plan_count()):
            if len(found) == most:
                break
            try:
                self.graph.build_plan_at_index(number)
            except Exception:  # deselected, or not for this device
                continue
            found.append(str(self.graph.get_plan_name_at_index(number)))
        return found

    def built(self, plan: str) -> tuple[int, int]:
        """The number of the plan of this name, ready to run, and the bytes of its workspace; RuntimeError where there is none."""
        for number in range(self.graph.get_execution_plan_count()):
            if self.graph.get_plan_name_at_index(number) == plan:
                self.graph.build_plan_at_index(number)
                return number, int(self.graph.get_workspace_size_plan_at_index(number))
        raise RuntimeError(f"cuDNN has no plan {plan}")


class Library:
    """A way to convolve: its variants are plans of a graph.  `after` gives what cuDNN leaves undone."""

    def __init__(
        self, cuda: Cuda, kind: str, window: Window, given: Given, rectifies: bool, after: Callable[[Given], list[Kernel]]
    ) -> None:
        self.cuda, self.kind, self.window, self.rectifies, self.after = cuda, kind, window, rectifies, after
        self.sizes: dict[str, Sequence[int]] = {}
        flows = [there(given, name).dtype for name in "xy"]
        self.stored = next((each for each in flows if each != np.float32), flows[0])
        self.made = "w" if kind == "conv_dw" else "y"
        for name in UIDS if kind == "conv" else ("x", "w", "y"):
            if (array := given[name]) is not None:
                self.sizes[name] = (1, 1, 1, array.size) if name == "bias" else array.sizes

    def graph(self) -> Graph:
        driver: Any = self.cuda.driver
        place = {"handle": handle(driver.number)}
        return Graph(self.kind, self.sizes, self.window, self.cuda.precision, self.rectifies, TYPES[self.stored], **place)

    def offers(self) -> Sequence[str]:
        return self.graph().plans()

    def bind(self, variant: str, given: Given) -> list[Kernel]:
        """cuDNN overwrites: a gradient that is added to is made apart first, and so is what is of another type."""
        try:
            graph = self.graph()
            number, size = graph.built(variant)
        except Exception as error:  # it has several kinds
            raise RuntimeError(f"cuDNN cannot do this: {error}") from error
        before, arrays, to = list[Kernel](), dict[str, DeviceArray](), there(given, self.made)
        for name in self.sizes:
            launches, arrays[name] = of_type(self.cuda, there(given, name), self.stored) if name != self.made else ([], to)
            before += launches
        behind = []
        if self.kind == "conv_dw" or to.dtype != self.stored:
            arrays[self.made] = self.cuda.scratch(*to.sizes, dtype=self.stored)
            behind = [self.put(arrays[self.made], to)]
        workspace = self.cuda.scratch(max(size, 1), dtype="uint8")
        run = partial(
            execute, self.cuda.driver, graph, number, {UIDS[name]: array.address for name, array in arrays.items()}, workspace
        )
        return [*before, run, *behind, *self.after(given)]

    def put(self, part: DeviceArray, whole: DeviceArray) -> Kernel:
        """What was made apart, where it belongs."""
        return added(self.cuda, part, whole) if self.kind == "conv_dw" else cast(self.cuda, part, whole)


def execute(driver: Any, graph: Graph, number: int, places: dict[int, int], workspace: DeviceArray) -> None:
    own = handle(driver.number)
    front_end().set_stream(handle=own, stream=driver.current)
    graph.graph.execute_plan_at_index(places, workspace.address, number, own)


def ways(
    cuda: Cuda, kind: str, window: Window, given: Given, after: Callable[[Given], list[Kernel]], rectifies: bool = False
) -> dict[str, Way]:
    """The library's, where there are a device and a library."""
    if not cuda.driver.arch or front_end() is None:
        return {}
    return {f"cudnn {'relu' if rectifies else kind}": Library(cuda, kind, window, given, rectifies, after)}
