"""What the back end asks of a device: memory, copies, compiled kernels, launches, and a sequence of them replayed as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Replay = Callable[[], None]


class Driver(Protocol):
    """All work goes to one stream, in order; `download` waits for it.  Addresses are numbers of bytes."""

    name: str  # of the device
    arch: str  # what kernels are compiled for, such as sm_90; "" for the CPU
    processors: int  # how many multiprocessors

    def alloc(self, size: int) -> tuple[int, object]:
        """`size` zero bytes: their address (a multiple of 256), and what keeps them alive."""
        ...

    def free_bytes(self) -> int: ...

    def upload(self, address: int, host: Any) -> None: ...
    def download(self, host: Any, address: int) -> None: ...
    def copy(self, to: int, source: int, size: int) -> None: ...
    def clear(self, address: int, size: int) -> None: ...

    def pinned(self, size: int) -> Any:
        """A NumPy array of bytes that `send` may read while the host goes on."""
        ...

    def send(self, address: int, host: Any, size: int) -> None:
        """Copies pinned bytes on a stream of its own; what is launched afterwards sees them."""
        ...

    def hand(self, address: int, host: Any, size: int) -> None:
        """Copies pinned bytes in turn with the launches: what was launched before does not see them."""
        ...

    def flag(self) -> Any: ...

    def raise_flag(self, flag: Any) -> None:
        """Up when all that has been launched so far is done."""
        ...

    def wait_for(self, flag: Any) -> None:
        """Blocks the host until a flag that was raised is up."""
        ...

    def function(self, text: str, name: str) -> Any:
        """The kernel of this name in a text of CUDA C, compiled; the same text is compiled once."""
        ...

    def launch(self, function: Any, grid: Sequence[int], block: Sequence[int], parameters: Any) -> None:
        """`parameters`: a ctypes array of pointers to the arguments."""
        ...

    def capture(self, segments: Sequence[Sequence[Replay]]) -> Replay:
        """Everything that running the segments launches, as one graph; inside a segment nothing waits for anything."""
        ...

    def synchronize(self) -> None: ...
    def close(self) -> None: ...
