"""Does a process grow as it trains?  Its memory after some steps and after many.   python -m benchmarks.lasting 1000 10000 2"""

from __future__ import annotations

import sys
from dataclasses import replace

from benchmarks import runner
from benchmarks.nets import NETS


def main(first: int, last: int, threads: int) -> None:
    side = runner.ours(replace(NETS["lenet"], batch=(8, 1, 28, 28)), threads, "train")
    for number in range(1, last + 1):
        side.step()
        if number in (first, last):
            print(runner.resident("VmRSS"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
