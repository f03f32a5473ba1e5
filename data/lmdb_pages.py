"""LMDB files read page by page, without the library, which maps a file into memory: a damaged one would end the process."""

from __future__ import annotations

import os
import struct
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data.npy import installed
from dltrain.errors import DataError

MAGIC, VERSION = 0xBEEFC0DE, 1
HEAD = (
    16  # bytes before the pointers of a page: its number (8), padding (2), its kind (2), where free room begins and ends (2 + 2)
)
NODE = 8  # bytes before a key: size of the value (4), flags (2), size of the key (2)
BRANCH, LEAF = 0x01, 0x02  # kinds of pages
BIG, NAMED, REPEATED = 0x01, 0x02, 0x04  # flags of a record: its value lies in pages of its own; a database; several values
NOTHING = 2**64 - 1  # the root of an empty tree
DEEPEST = 32  # a tree of 2 children a page and 2^32 pages
META = struct.Struct("<II8xQ")  # magic, version, size of the map; then two trees
TREE = struct.Struct("<IHHQQQQQ")  # size of a page, flags, depth, pages of branches, of leaves, of large values, records, root


class Pages:
    """The records of an LMDB in the order of their keys.

    key_at, key_size, at, size   where in the file the key and the value of each record lie

    Only pages of the tree are read on opening; a value is read when it is asked for, by any thread.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the folder of an LMDB, or its data.mdb."""
        self.path = path / "data.mdb" if path.is_dir() else path
        way_out = "expected a folder with the data.mdb of an LMDB"
        if not os.path.isfile(self.path):
            raise DataError(f"{path}: there is no LMDB; {way_out}")
        try:
            self.file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); make the file readable") from None
        weakref.finalize(self, os.close, self.file)
        try:
            self.bytes = os.fstat(self.file).st_size
            self.page, self.depth, self.records, root = self.newest()
            self.walk(root)
        except ValueError as error:
            raise DataError(f"{self.path}: {error}; {way_out}") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); copy it here once more") from None

    def __len__(self) -> int:
        return self.records

    def key(self, index: int) -> bytes:
        return self.piece(int(self.key_at[index]), int(self.key_size[index]))

    def value(self, index: int) -> bytes:
        return self.piece(int(self.at[index]), int(self.size[index]))

    def part(self, index: int, start: int, size: int) -> bytes:
        """Some bytes of a value, as many of them as there are."""
        size = max(0, min(size, int(self.size[index]) - start))
        return self.piece(int(self.at[index]) + start, size)

    def find(self, key: bytes) -> int | None:
        """The number of the record with a key."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.key(middle) < key else (low, middle)
        return low if low < len(self) and self.key(low) == key else None

    def piece(self, at: int, size: int) -> bytes:
        found = os.pread(self.file, size, at)
        if len(found) < size:
            raise ValueError(f"is cut short: it has {self.bytes:,} bytes, and its records reach to {at + size:,}")
        return found

    # --- opening ---
    def newest(self) -> tuple[int, int, int, int]:
        """Size of a page, depth, count of records and root, as the later of the two headers has them."""
        head = os.pread(self.file, 200, 0)
        if len(head) < 200:
            raise ValueError(f"is no LMDB: it has {self.bytes:,} bytes")
        page = TREE.unpack_from(head, HEAD + META.size)[0]
        found = [header(head)]
        if found[0] is not None and (page not in (2**n for n in range(8, 17)) or self.bytes < 2 * page):
            raise ValueError(f"is damaged or cut short: it has {self.bytes:,} bytes and pages of {page:,}")
        if found[0] is not None:
            found.append(header(self.piece(page, 200)))
        known = [each for each in found if each is not None]
        if not known:
            raise ValueError(f"is no LMDB of a 64-bit machine: it begins with {head[:8].hex(' ')}")
        _, depth, records, root = max(known)
        if depth > DEEPEST or records > self.bytes // NODE:
            raise ValueError(f"is damaged: its header claims {records:,} records, {depth} levels deep")
        if 22 * records > installed():
            raise ValueError(f"has {records:,} records, more than the memory of this machine can hold the places of")
        return page, depth, records, root

    def walk(self, root: int) -> None:
        """Finds where every record lies, from the root of the tree to its leaves."""
        found: list[tuple[Any, ...]] = []
        ahead = [(root, self.depth)] if root != NOTHING and self.records else []
        count, seen = 0, np.zeros(self.bytes // self.page + 1, bool)
        while ahead:
            number, level = ahead.pop()
            page = self.tree_page(number, LEAF if level <= 1 else BRANCH)
            if seen[number]:
                raise ValueError(f"is damaged: page {number:,} stands twice in its tree")
            seen[number] = True
            if level > 1:
                ahead += [(child, level - 1) for child in reversed(children(page))]
            else:
                found.append(self.leaf(number, page))
                count += len(found[-1][0])
        if count != self.records:
            raise ValueError(f"is damaged: it has {count:,} records where its header claims {self.records:,}")
        kinds = (np.int64, np.uint16, np.int64, np.int64)
        columns = list(zip(*found)) or [()] * 4
        made = [np.concatenate([np.empty(0, kind), *column]).astype(kind) for column, kind in zip(columns, kinds)]
        self.key_at, self.key_size, self.at, self.size = made

    def tree_page(self, number: int, kind: int) -> Any:
        if (number + 1) * self.page > self.bytes:
            raise ValueError(f"is cut short: it has {self.bytes:,} bytes, and a page at {number * self.page:,}")
        page = np.frombuffer(self.piece(number * self.page, self.page), np.uint8)
        own, kinds, lower = int(page[:8].view("<u8")[0]), int(page[10:12].view("<u2")[0]), int(page[12:14].view("<u2")[0])
        nodes = page[HEAD : max(lower, HEAD)][: (lower - HEAD) // 2 * 2].view("<u2").astype(np.int64)
        whole = own == number and kinds & 0x2F == kind and HEAD < lower <= self.page and len(nodes)
        if not whole or (nodes < lower).any() or (nodes > self.page - NODE).any() or (nodes % 2).any():
            raise ValueError(f"is damaged: page {number:,} is none of its tree")
        return page

    def leaf(self, number: int, page: Any) -> tuple[Any, ...]:
        """Where the keys and the values of a page of records lie."""
        at, size, flags, key_size = nodes_of(page)
        if (flags & (NAMED | REPEATED)).any():
            raise ValueError("holds named databases, or several values a key, as no data set of records does")
        value = at + NODE + key_size
        big = (flags & BIG) != 0
        if (value + np.where(big, 8, size) > self.page).any():
            raise ValueError(f"is damaged: a record leaves page {number:,}")
        place = number * self.page + value
        for row in np.flatnonzero(big):
            first = int(page[value[row] : value[row] + 8].view("<u8")[0])
            place[row] = end = first * self.page + HEAD if first * self.page < self.bytes else self.bytes
            if end + size[row] > self.bytes:
                raise ValueError(f"is cut short: it has {self.bytes:,} bytes, and a record that ends beyond")
        return number * self.page + at + NODE, key_size, place, size


def header(head: bytes) -> tuple[int, int, int, int] | None:
    """(transaction, depth, records, root) of a page with a header; None where it is none."""
    magic, version, _ = META.unpack_from(head, HEAD)
    if magic != MAGIC:
        return None
    if version != VERSION:
        raise ValueError(f"is an LMDB of format {version}, where {VERSION} is known")
    main = HEAD + META.size + TREE.size
    _, _, depth, _, _, _, records, root = TREE.unpack_from(head, main)
    (transaction,) = struct.unpack_from("<Q", head, main + TREE.size + 8)
    return transaction, depth, records, root


def nodes_of(page: Any) -> tuple[Any, ...]:
    """(place, size of the value, flags, size of the key) of the nodes of a page."""
    words, lower = page.view("<u2").astype(np.int64), int(page[12:14].view("<u2")[0])
    at = words[HEAD // 2 : lower // 2]
    node = at // 2
    return at, words[node] | words[node + 1] << 16, words[node + 2], words[node + 3]


def children(page: Any) -> list[int]:
    """The pages below a page of branches."""
    _, low, high, _ = nodes_of(page)
    return [int(number) for number in low | high << 32]
