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
    copy(frozen(x), rows, columns, corners, left, y.dtype.type(fill), y)


@kernel
def copy(x: Any, rows: Any, columns: Any, corners: Any, left: int, fill: Any, y: Any) -> None:
    for n in range(y.shape[0]):
        b, w = corners[n, 1], y.shape[3]
        low = min(max(left - b, 0), w)  # from here to `high` all is inside
        high = max(min(left + x.shape[3] - b, w), low)
        for c in range(y.shape[1]):
            for i in range(y.shape[2]):
                made, r = y[n, c, i], rows[corners[n, 0] + i]
                if r < 0:
                    made[:] = fill
                    continue
                row, inside = x[n, c, r, b + low - left : b + high - left], made[low:high]
                for j in range(inside.size):
                    inside[j] = row[j]
                for j in range(w - high + low):
                    at = U(j if j < low else j - low + high)
                    q = columns[U(b) + at]
                    made[at] = x[n, c, r, q] if q >= 0 else fill


@kernel
def mirror(x: Any, turned: Any) -> None:
    """x[n, l, :] backwards, for each n that is turned"""
    size = x.shape[2]
    kept = np.empty(size, x.dtype)
    for n in range(x.shape[0]):
        if turned[n]:
            for l in range(x.shape[1]):
                row = x[n, l]
                for j in range(size):
                    kept[j] = row[j]
                for j in range(size):
                    row[j] = kept[size - 1 - j]
