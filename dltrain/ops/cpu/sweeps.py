"""Convolution of NHWC images tile by tile, without patch matrices: the kernels that go over a chunk of images.

A chunk lies in one flat array, each image inside its zero border.  `places` are the corners of the windows in it, `taps` how far
from there each run of `run` numbers begins; weights are packed in panels as wide as a tile.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS
from dltrain.ops.cpu.tiles import LANES, PLACES, ROWS, correlate_one, correlate_two, gather_one, gather_two

BAND = 512  # places for which a panel of weights is read once
PAIR = 2 * LANES


@njit(**OPTIONS)
def pack(w, order, forward, packed):
    """packed <- w (O,KH,KW,C) in panels of outputs (of channels: backward), each in rows of a tile's width: taps in this order,
    channels (outputs) of each tap; what is beyond the last output is 0"""
    O, KH, KW, C = w.shape
    flat = w.reshape(-1)
    size, inner = (O, C) if forward else (C, O)
    one, other = (KH * KW * C, 1) if forward else (1, KH * KW * C)
    at = 0
    for first in range(0, size, PAIR):
        width = PAIR if size - first > LANES else LANES
        used = min(width, size - first)
        for t in range(order.size):
            for k in range(inner):
                source = flat[order[t] * C + first * one + k * other :]
                row = packed[at : at + width]
                for i in range(used):
                    row[i] = source[i * one]
                for i in range(used, width):
                    row[i] = np.float32(0)
                at += width


@njit(**OPTIONS)
def unpack(packed, pitch, dw):
    """dw (O,K) <- the rows of packed (K,pitch), transposed"""
    O, K = dw.shape
    target = dw.reshape(-1)
    for first in range(0, O, LANES):
        for k in range(K):
            row = packed[k * pitch + first : k * pitch + min(first + LANES, O)]
            column = target[first * K + k :]
            for i in range(row.size):
                column[i * K] = row[i]


@njit(**OPTIONS)
def inside_border(x, corner, image):
    """Puts the images x (n,H,W,C) in the middle of the bordered ones; the border is left as it is."""
    N, H, W, C = x.shape
    _, BH, BW, _ = image.shape
    source, target = x.reshape(-1), image.reshape(-1)
    for n in range(N):
        for h in range(H):
            s, t = (n * H + h) * W * C, ((n * BH + h + corner[0]) * BW + corner[1]) * C
            p, q = source[s : s + W * C], target[t : t + W * C]
            for i in range(p.size):
                q[i] = p[i]


@njit(**OPTIONS)
def clear(a):
    for i in range(a.size):
        a[i] = np.float32(0)


@njit(**OPTIONS)
def sweep(x, places, taps, run, packed, bias, y, targets, outputs, count, begin, end):
    """y[targets[q] + o] = bias[o] + sum over t, k of x[places[q] + taps[t] + k] packed[o, t, k], for q < count

    Where begin and end are given, only the taps begin[q] <= t < end[q] can meet what is not 0.
    """
    for base in range(0, count, BAND):
        top = min(base + BAND, count)
        for o in range(0, outputs, PAIR):
            panel, room = packed[o * taps.size * run :], outputs - o
            for q in range(base, top, PLACES):
                left, first, last = min(PLACES, top - q), 0, taps.size
                if begin.size:
                    first, last = begin[q], end[q]
                    for p in range(q + 1, q + left):
                        first, last = min(first, begin[p]), max(last, end[p])
                some, met = taps[first:], last - first
                if room > LANES:
                    weights = panel[first * run * PAIR :]
                    correlate_two(x, places, some, met, run, weights, bias[o:], y[o:], targets, q, left, room)
                else:
                    weights = panel[first * run * LANES :]
                    correlate_one(x, places, some, met, run, weights, bias[o:], y[o:], targets, q, left, room)


@njit(**OPTIONS)
def sweep_chunks(x, image, corner, tables, channels, packed, bias, y, chunk, plane):
    """y = the windows of the images x times the weights, group by group, a chunk at a time in `image` (without one: in x itself)

    tables: (places, targets, taps, run) and what tiled.meets says;   channels: (of x in a group, of y in a group, groups);
    plane: places of an image
    """
    places, targets, taps, run, begin, end, _, _ = tables
    inputs, outputs, groups = channels
    size = packed.size // groups
    if image.size:
        clear(image.reshape(-1))
    for n in range(0, len(x), chunk):
        part, out = x[n : n + chunk], y[n : n + chunk].reshape(-1)
        source = part.reshape(-1)
        if image.size:
            inside_border(part, corner, image)
            source = image.reshape(-1)
        for g in range(groups):
            weights = packed[g * size : (g + 1) * size]
            sweep(source[g * inputs :], places, taps, run, weights, bias[g * outputs :], out[g * outputs :], targets,
                  outputs, len(part) * plane, begin, end)  # fmt: skip


@njit(**OPTIONS)
def gather_chunks(x, image, corner, tables, channels, dy, total, chunk, plane):
    """total (groups, K, pitch) += sum over all windows of (what each covers of x) times dy, flat"""
    places, _, taps, run, _, _, first, last = tables
    inputs, outputs, groups = channels
    size = total.size // groups
    if image.size:
        clear(image.reshape(-1))
    for n in range(0, len(x), chunk):
        part, slope = x[n : n + chunk], dy[n : n + chunk].reshape(-1)
        source = part.reshape(-1)
        if image.size:
            inside_border(part, corner, image)
            source = image.reshape(-1)
        for g in range(groups):
            gather(source[g * inputs :], places, taps, run, slope[g * outputs :], outputs * groups, outputs,
                   total[g * size : (g + 1) * size], len(part) * plane, plane, first, last)  # fmt: skip


@njit(**OPTIONS)
def gather(x, places, taps, run, dy, step, outputs, total, count, plane, first, last):
    """total[t, k, o] += sum over q < count of x[places[q] + taps[t] + k] dy[q step + o], in rows as long as whole vectors

    Where first and last are given, of each `plane` places those from first[t] to last[t] can meet what is not 0.
    """
    pitch, pair = -(-outputs // LANES) * LANES, outputs > LANES
    height = ROWS if pair else 2 * ROWS
    for t in range(taps.size):
        whole = not first.size or (first[t] == 0 and last[t] == plane)
        low, high, every = (0, count, max(count, 1)) if whole else (first[t], last[t], plane)
        for r in range(0, run, height):
            source, rows, into = x[taps[t] + r :], min(run - r, height), total[(t * run + r) * pitch :]
            for o in range(0, outputs, PAIR):
                for at in range(0, count, every):
                    if pair:
                        gather_two(source, places, dy[o:], step, at + low, at + high, into[o:], pitch, rows, outputs - o)
                    else:
                        gather_one(source, places, dy[o:], step, at + low, at + high, into[o:], pitch, rows, outputs - o)
