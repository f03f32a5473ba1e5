"""The files below a folder, and the splits that its sub-folders make."""

from __future__ import annotations

import os
from pathlib import Path

from dltrain.errors import DataError

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}  # folder -> split
DEEPEST = 50  # folders in one another


def files_below(root: Path, extensions: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The files of these extensions (upper or lower case) and the folders below a folder, as paths relative to it, in order.

    What begins with a dot is hidden, and left out; links are followed.
    """
    files: list[str] = []
    folders: list[str] = []
    waiting = [("", 0)]
    while waiting:
        above, depth = waiting.pop()
        if depth > DEEPEST:
            raise DataError(f"{root / above}: lies more than {DEEPEST} folders deep; does a link lead back?")
        try:
            with os.scandir(root / above) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        folders.append(above + entry.name)
                        waiting.append((f"{above}{entry.name}/", depth + 1))
                    elif entry.name.lower().endswith(extensions):
                        files.append(above + entry.name)
        except OSError as error:
            raise DataError(f"{root / above}: cannot be listed ({error.strerror}); make the folder readable") from None
    return sorted(files), sorted(folders)


def pictures_below(root: Path, extensions: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """As files_below; DataError where there is no folder, or no such file in it."""
    if not os.path.isdir(root):
        raise DataError(f"{root}: there is no such folder; name the folder that holds the pictures")
    files, folders = files_below(root, extensions)
    if not files:
        raise DataError(f"{root}: has no pictures ({', '.join(extensions)}); name the folder that holds them")
    return files, folders


def split_folders(root: Path, files: list[str], folders: list[str], flat: bool = False) -> dict[str, str]:
    """split -> its folder below the root, "" for the root itself where it has no folders that are splits.

    A class, too, may be called train: where other folders lie beside it, and it has none of its own.  Not so where files
    are `flat`, in no folder of a class.
    """
    tops = [folder for folder in folders if "/" not in folder]
    named = [folder for folder in tops if folder in SPLITS]
    others = sorted({file.partition("/")[0] for file in files} - set(named))
    nested = [name for name in named if flat or any(folder.startswith(f"{name}/") for folder in folders)]
    if not named or (others and not nested):
        return {"train": ""}
    if others:
        raise DataError(f"{root}: has {nested[0]} beside {others[0]}; is that a split or a class? keep the folders of splits "
                        "(train, val, test) apart from others")  # fmt: skip
    found: dict[str, str] = {}
    for name in named:
        if SPLITS[name] in found:
            raise DataError(f"{root}: has both {found[SPLITS[name]]} and {name}; one folder for val is enough")
        if not any(file.startswith(f"{name}/") for file in files):
            raise DataError(f"{root / name}: has no pictures; fill the folder, or remove it")
        found[SPLITS[name]] = name
    if "train" not in found:
        raise DataError(f"{root}: has {', '.join(named)}, but no train; name the folder that has both")
    return {split: found[split] for split in ("train", "val", "test") if split in found}
