"""What a person sees: progress and notes on stderr, a bar on a terminal, plain lines elsewhere; results on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


class Console:
    """note() is for people, result() for people or (with json) machines; quiet leaves the results only."""

    def __init__(self, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self.bar: Any = None
        self.began = time.perf_counter()
        self.first = 0

    @property
    def terminal(self) -> bool:
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def note(self, text: str = "") -> None:
        """A line on stderr, above the bar where there is one."""
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def result(self, values: dict[str, Any], text: str) -> None:
        """The one result of a command, on stdout."""
        print(json.dumps(values) if self.as_json else text, flush=True)

    # --- training ---
    def begin(self, iteration: int, total: int) -> None:
        """Starts the bar (or the clock) at an iteration."""
        self.began, self.first = time.perf_counter(), iteration
        if self.terminal and not self.quiet:
            from tqdm import tqdm

            plain = not (sys.stderr.encoding or "").lower().startswith("utf")
            given: dict[str, Any] = {"total": total or None, "initial": iteration, "unit": "it", "ascii": plain}
            self.bar = tqdm(**given, file=sys.stderr, mininterval=0.1, dynamic_ncols=True)

    def advance(self, words: str = "", by: int = 1) -> None:
        """Iterations done; `words` stand behind the bar."""
        if self.bar is not None:
            if words:
                self.bar.set_postfix_str(words, refresh=False)
            self.bar.update(by)

    def line(self, iteration: int, total: int, words: str) -> None:
        """Off a terminal: one plain line with the rate and the time left."""
        if self.bar is not None or self.quiet:
            return
        done, spent = iteration - self.first, time.perf_counter() - self.began
        rate = done / spent if spent > 0 else 0.0
        left = f", {clock((total - iteration) / rate)} left" if total and rate else ""
        self.note(f"iteration {iteration}{f' of {total}' if total else ''}  {words}  {rate:.0f} it/s{left}")

    def end(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def clock(seconds: float) -> str:
    """75 s as 1:15."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def scores_text(scores: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
