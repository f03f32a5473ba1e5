"""The run directory: runs/NAME/TIME-FINGERPRINT/.  It is never overwritten, never deleted, and stands wherever a config may."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import yaml

from dltrain import snapshot
from dltrain.errors import ConfigError, SnapshotError


class Run:
    """One folder: config.yaml, environment.json, metrics.csv, events.jsonl, snapshots/iter_*.h5, best.h5, summary.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock: Any = None

    @classmethod
    def create(cls, root: Path, name: str, fingerprint: str) -> Run:
        """A folder that did not exist before, and NAME/latest pointing to it."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for number in range(1000):
            folder = root / name / (f"{stamp}-{fingerprint}" + (f"-{number}" if number else ""))
            try:
                (folder / "snapshots").mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise SnapshotError(
                    f"{folder}: cannot be made ({error.strerror}); choose another folder with --runs DIR"
                ) from None
            run = cls(folder)
            run.take()
            point(root / name / "latest", folder.name)
            return run
        raise SnapshotError(f"{root / name}: too many runs in one second")

    @classmethod
    def find(cls, path: Path) -> Run | None:
        """The run at a path: its folder, runs/NAME (the newest), runs/NAME/latest; None where there is none."""
        for folder in (path, path / "latest"):
            if folder.is_file() and folder.name == "latest":  # where links are not to be had
                folder = folder.parent / folder.read_text().strip()
            if (folder / "config.yaml").is_file() and (folder / "snapshots").is_dir():
                return cls(folder.resolve())
        return None

    def take(self) -> None:
        """Locks the folder against a second process."""
        try:
            self.lock = open(self.folder / ".lock", "w")  # noqa: SIM115  held until the run is left
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotError(f"{self.folder}: another process trains in this folder; wait for it, or stop it") from None
        except OSError as error:
            raise SnapshotError(f"{self.folder}: cannot be written ({error.strerror}); make the folder writable") from None

    def release(self) -> None:
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    # --- files ---
    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def best(self) -> Path:
        return self.folder / "best.h5"

    def at(self, iteration: int) -> Path:
        return self.folder / "snapshots" / f"iter_{iteration:08d}.h5"

    def snapshots(self) -> list[Path]:
        """The snapshots, oldest first."""
        return sorted((self.folder / "snapshots").glob("iter_*.h5"))

    def newest(self) -> tuple[Path, snapshot.Snapshot]:
        """The newest snapshot, checked.  A damaged one is refused, and the previous good one named."""
        found = self.snapshots()
        if not found:
            raise SnapshotError(f"{self.folder}: has no snapshot to resume from; start again with dltrain train {self.config}")
        try:
            return found[-1], snapshot.read(found[-1])
        except SnapshotError as error:
            good = next((path for path in reversed(found[:-1]) if whole(path)), None)
            way = (
                f"the previous good one is {good}; remove the damaged file to go on from there"
                if good
                else "there is no earlier one"
            )
            raise SnapshotError(f"{error}; {way}") from None

    def weights(self) -> tuple[Path, snapshot.Snapshot]:
        """The best weights where there are any, else the last."""
        return (self.best, snapshot.read(self.best)) if self.best.is_file() else self.newest()

    def prune(self, keep: int) -> None:
        """Only the last `keep` snapshots stay."""
        for path in self.snapshots()[:-keep]:
            path.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        try:
            (self.folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise SnapshotError(f"{self.folder / name}: cannot be written ({error.strerror})") from None

    def write_config(self, values: dict[str, Any]) -> None:
        head = "# what ran: files included, --set applied.   train --resume, test and extract-features take this folder\n"
        self.write_text("config.yaml", head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write_text(name, json.dumps(values, indent=2) + "\n")

    # --- metrics and events ---
    def append(self, name: str, line: str) -> None:
        try:
            with open(self.folder / name, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise SnapshotError(
                f"{self.folder / name}: cannot be written ({error.strerror}); free some room, then --resume"
            ) from None

    def event(self, kind: str, **values: Any) -> None:
        """One line of events.jsonl: what happened when."""
        self.append("events.jsonl", json.dumps({"v": 1, "time": round(time.time(), 3), "event": kind, **values}) + "\n")

    def metrics(self, columns: list[str], row: dict[str, Any]) -> None:
        """One line of metrics.csv, which holds only what a second run would give again."""
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        if not (self.folder / "metrics.csv").exists():
            writer.writeheader()
        writer.writerow(row)
        self.append("metrics.csv", text.getvalue())

    def cut_metrics(self, iteration: int, tested: bool) -> None:
        """Removes the rows after a snapshot, one that was only half written, and a test that the snapshot does not know."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return
        head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        shown = head.rstrip("\n").split(",").index("train.loss")

        def stays(row: str) -> bool:
            cells = row.split(",")
            if not row.endswith("\n") or len(cells) != len(head.split(",")) or int(cells[0]) > iteration:
                return False
            return int(cells[0]) < iteration or tested or cells[shown] != ""

        kept = [row for row in rows if stays(row)]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join([head, *kept]), encoding="utf-8")
        os.replace(temporary, path)


def whole(path: Path) -> bool:
    try:
        snapshot.read(path)
    except SnapshotError:
        return False
    return True


def point(link: Path, target: str) -> None:
    """A link to the newest run; a file with its name where links are not to be had."""
    temporary = link.with_name(f".latest.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
    except OSError:
        temporary.write_text(target + "\n")
    os.replace(temporary, link)


def locate(path: str) -> Run:
    """The run a user named; ConfigError where there is none."""
    run = Run.find(Path(path))
    if run is None:
        raise ConfigError(f"{path}: is no run; a run is a folder runs/NAME/TIME-FINGERPRINT, or runs/NAME for its newest")
    return run
