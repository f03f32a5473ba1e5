"""Windows of pictures, cut out of them and of their borders, and pictures mirrored where they lie.  Numba kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.data.resample import U, frozen, kernel


def cut(x: Any, places: tuple[Any, Any], corners: Any, y: Any, left: int = 0, fill: Any = 0) -> None:
    """y[n, :, i, j] = x[n, :, rows[a + i], columns[b + j]], or `fill` where one of them is -1     (a, b) = corners[n]

    x (N, C, H, W), y (N, C, h, w); places is (rows, columns), of which from column `left` on come those of x in order.
    """
    rows, columns, corners = (frozen(each.astype(np.int64)) for each in (*places, corners))
    planes = frozen(x).reshape(len(x), x.shape[1], -1), y.reshape(*y.shape[:2], -1)
    copy(planes[0], x.shape[2:], rows, columns, corners, left, y.dtype.type(fill), planes[1], y.shape[2:])


@kernel
def copy(x: Any, old: Any, rows: Any, columns: Any, corners: Any, left: int, fill: Any, y: Any, new: Any) -> None:
    """x (N, C, H W), y (N, C, h w); old is (H, W), new (h, w).  Rows are short, and views of them would take longer than they."""
    h, w = new
    for n in range(y.shape[0]):
        a, b = corners[n]
        low = min(max(left - b, 0), w)  # from here to `high` all is inside
        high = max(min(left + old[1] - b, w), low)
        for c in range(y.shape[1]):
            plane, made = x[n, c], y[n, c]
            for i in range(h):
                to, r = U(i * w), rows[a + i]
                if r < 0:
                    for j in range(w):
                        made[to + U(j)] = fill
                    continue
                row = r * old[1]
                inside, begin = U(row + b + low - left), to + U(low)
                for j in range(high - low):
                    made[begin + U(j)] = plane[inside + U(j)]
                for k in range(w - high + low):
                    j = k if k < low else k - low + high
                    q = columns[U(b + j)]
                    made[to + U(j)] = plane[U(row + q)] if q >= 0 else fill


@kernel
def mirror(x: Any, turned: Any, width: int) -> None:
    """Each line of `width` numbers backwards in x[n], for each n that is turned"""
    for n in range(x.shape[0]):
        if turned[n]:
            lines = x[n]
            for start in range(0, lines.size, width):
                end = start + width - 1
                for j in range(width // 2):
                    kept = lines[U(start + j)]
                    lines[U(start + j)] = lines[U(end - j)]
                    lines[U(end - j)] = kept
