"""The files of a table, read into memory: a column is part of a block of numbers, or has numbers or words of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltrain.data.columns import Block, Column, Wrong
from dltrain.data.delimited import Delimited
from dltrain.data.npy import installed
from dltrain.errors import DataError, did_you_mean


class Table:
    """blocks    top -> its columns of numbers, as one array
    columns   the others by name: those that tops need, and those that are only known of a sample
    counts    how many rows each file has
    """

    def __init__(self, files: list[Delimited], missing: frozenset[str]) -> None:
        self.files, self.missing = files, missing

    def read(self, blocks: dict[str, list[str]], needed: set[str], words: set[str]) -> None:
        """Reads all rows; `needed` columns must be there in every file, `words` are such from the beginning."""
        taken = {name for names in blocks.values() for name in names}
        for file in self.files:
            for name in sorted(taken | needed):
                if name not in file.names:
                    raise DataError(f"{file.path}: has no column '{name}'; {did_you_mean(name, file.names)}")
        shared = [name for name in self.files[0].names if all(name in file.names for file in self.files)]
        words, singles = set(words), [name for name in shared if name in needed or name not in taken]
        while True:
            self.blocks = {top: Block(names, self.missing) for top, names in blocks.items()}
            self.columns = {name: Column(name, self.missing, name in words) for name in singles}
            self.counts, wrong = [0] * len(self.files), Wrong()
            self.gather(wrong)
            again = {name for name, column in self.columns.items() if column.again}
            if not again:
                break
            words |= again  # a second time, with what turned out to be words from the beginning
        self.drop(needed)
        for block in self.blocks.values():
            block.settle()
        for column in self.columns.values():
            column.settle()

    def gather(self, wrong: Wrong) -> None:
        """All rows of all files; DataError for cells that are no numbers, and where there is no memory for them."""
        held, memory = 0, installed()
        for number, file in enumerate(self.files):
            places = {name: place for place, name in enumerate(file.names)}
            within = [(block, [places[name] for name in block.names]) for block in self.blocks.values()]
            alone = [(column, places[name]) for name, column in self.columns.items()]
            for part in file.parts():
                self.counts[number] += len(part.lines)
                for block, some in within:
                    held += block.add(file.path, some, part.lines, part.cells, wrong)
                for column, place in alone:
                    held += column.add([row[place] for row in part.cells])
                if held > memory:
                    most = f"the {memory / 2**30:,.1f} GiB of memory that this machine has"
                    way_out = "name fewer columns, or save arrays with np.save, which stay on the disk"
                    raise DataError(f"{file.path}: needs more than {most}; {way_out}")
            if self.counts[number] == 0:
                raise DataError(f"{file.path}: has names of columns and no rows; a row is a sample")
        if wrong.count:
            more = f" and {wrong.count - len(wrong.told):,} more" if wrong.count > len(wrong.told) else ""
            way_out = "mend them, add the word to missing:, or make the column a top with type: category"
            raise DataError(f"{'; '.join(wrong.told)}{more}; {way_out}")

    def drop(self, needed: set[str]) -> None:
        """Forgets columns of long texts, which nobody asks for."""
        for name, column in list(self.columns.items()):
            if column.lost and name in needed:
                raise DataError(f"{self.files[0].path}: column '{name}' has too many different words for classes")
            if column.lost:
                del self.columns[name]

    def facts(self) -> dict[str, Sequence[Any]]:
        """What is known of each row, by column."""
        known: dict[str, Sequence[Any]] = {}
        for block in self.blocks.values():
            known |= block.facts()
        return known | {name: column.fact() for name, column in self.columns.items()}
