"""3 x 3 convolution of stride 1 with fewer products: kernels that go over the tiles of a chunk of images.

V (n^2,T,C) are the transformed tiles of the image, U (n^2, panels of C,O) the transformed weights, M (n^2,T,O) their products.
Each of the n^2 parts begins GAP numbers after the one before ends, or all of them would fall on the same lines of the cache.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS
from dltrain.ops.cpu.patches import U as U64
from dltrain.ops.cpu.sweeps import PAIR, clear, gather, inside_border, sweep
from dltrain.ops.cpu.tiles import LANES
from dltrain.ops.cpu.transforms import (
    image_2,
    image_4,
    result_2,
    result_4,
    slope_2,
    slope_4,
    taps_2,
    taps_4,
    weights_2,
    weights_4,
)  # fmt: skip

GAP = 5 * LANES


@njit(**OPTIONS)
def turn(flat, at, step, width, block):
    """block[c, t PAIR + o] <- w[o, t, c] of `width` outputs and LANES channels, w beginning at `at`, its taps `step` apart"""
    for o in range(U64(width)):
        for t in range(U64(9)):
            source = flat[at + (o * U64(9) + t) * step :]
            for c in range(U64(LANES)):
                block[c * U64(9 * PAIR) + t * U64(PAIR) + o] = source[c]


@njit(**OPTIONS)
def turn_back(block, flat, at, step, width):
    """w[o, t, c] <- block[c, t PAIR + o]"""
    for o in range(U64(width)):
        for t in range(U64(9)):
            target = flat[at + (o * U64(9) + t) * step :]
            for c in range(U64(LANES)):
                target[c] = block[c * U64(9 * PAIR) + t * U64(PAIR) + o]


@njit(**OPTIONS)
def transform_weights(w, forward, first, U, m):
    """U (n^2, panels) <- G w G' of w (O,3,3,C), for as many outputs from `first` on as U has room for;

    backward: of the weights turned round, with O and C in each other's place
    """
    O, _, _, C = w.shape
    n, flat, block = m + 2, w.reshape(-1), np.empty(LANES * 9 * PAIR, np.float32)
    inner, plane = C if forward else O, U.size // (n * n)
    size = (plane - GAP) // inner
    for low in range(0, size, PAIR):
        width = min(PAIR, size - low)
        for k in range(inner):
            if forward and k % LANES == 0:
                turn(flat, U64((first + low) * 9 * C + k), U64(C), width, block)
            if forward:
                source, row, column = block[k % LANES * 9 * PAIR :], 3 * PAIR, PAIR
            else:
                source, row, column = flat[(k * 9 + 8) * C + first + low :], -3 * C, -C
            target = U[low * inner + k * width :]
            if m == 2:
                weights_2(source, row, column, target, n * plane, plane, width // LANES, U, 0, 0)
            else:
                weights_4(source, row, column, target, n * plane, plane, width // LANES, U, 0, 0)


@njit(**OPTIONS)
def collect_weights(total, dw, m):
    """dw (O,3,3,C) <- G' total G, total (n^2,C,O) flat"""
    O, _, _, C = dw.shape
    n, flat, block = m + 2, dw.reshape(-1), np.empty(LANES * 9 * PAIR, np.float32)
    plane = total.size // (n * n)
    for low in range(0, O, PAIR):
        width = min(PAIR, O - low)
        for c in range(C):
            source, target = total[c * O + low :], block[c % LANES * 9 * PAIR :]
            if m == 2:
                taps_2(source, n * plane, plane, target, 3 * PAIR, PAIR, width // LANES, total, 0, 0)
            else:
                taps_4(source, n * plane, plane, target, 3 * PAIR, PAIR, width // LANES, total, 0, 0)
            if c % LANES == LANES - 1:
                turn_back(block, flat, U64(low * 9 * C + c + 1 - LANES), U64(C), width)


@njit(**OPTIONS)
def enter(x, corners, row, whole, channels, V, count, m):
    """V <- B' x B of the tiles that begin at these corners of the flat image, for so many of its `whole` channels"""
    plane, vectors = count * channels + GAP, channels // LANES
    n = m + 2
    for t in range(count):
        source, target = x[corners[t] :], V[t * channels :]
        if m == 2:
            image_2(source, row, whole, target, n * plane, plane, vectors, V, 0, 0)
        else:
            image_4(source, row, whole, target, n * plane, plane, vectors, V, 0, 0)


@njit(**OPTIONS)
def enter_slope(dy, corners, row, whole, channels, W, count, m):
    """W <- A dy A' of the tiles of dy"""
    plane, vectors = count * channels + GAP, channels // LANES
    n = m + 2
    for t in range(count):
        source, target = dy[corners[t] :], W[t * channels :]
        if m == 2:
            slope_2(source, row, whole, target, n * plane, plane, vectors, W, 0, 0)
        else:
            slope_4(source, row, whole, target, n * plane, plane, vectors, W, 0, 0)


@njit(**OPTIONS)
def leave(M, bias, y, targets, heights, widths, row, whole, channels, count, m):
    """y <- A' M A + bias, each tile at its place, without what lies beyond the image"""
    plane, vectors = count * channels + GAP, channels // LANES
    n = m + 2
    for t in range(count):
        source, target = M[t * channels :], y[targets[t] :]
        if m == 2:
            result_2(source, n * plane, plane, target, row, whole, vectors, bias, heights[t], widths[t])
        else:
            result_4(source, n * plane, plane, target, row, whole, vectors, bias, heights[t], widths[t])


@njit(**OPTIONS)
def products(V, U, nothing, M, steps, taps, channels, outputs, count, m):
    """M[a] = V[a] U[a] for each of the n^2 places in a tile; steps (T) are the offsets of V's rows"""
    size, targets = U.size // ((m + 2) * (m + 2)), np.arange(count) * outputs
    for a in range((m + 2) * (m + 2)):
        sweep(V[a * (count * channels + GAP) :], steps, taps, channels, U[a * size : (a + 1) * size], nothing,
              M[a * (count * outputs + GAP) :], targets, outputs, count, taps[:0], taps[:0])  # fmt: skip


@njit(**OPTIONS)
def add_outer(V, W, total, steps, taps, channels, outputs, count, m):
    """total[a] += V[a]' W[a], (n^2,C,O)"""
    size = total.size // ((m + 2) * (m + 2))
    for a in range((m + 2) * (m + 2)):
        gather(V[a * (count * channels + GAP) :], steps, taps, channels, W[a * (count * outputs + GAP) :], outputs, outputs,
               total[a * size : (a + 1) * size], count, count, taps[:0], taps[:0])  # fmt: skip


@njit(**OPTIONS)
def winograd_chunks(x, image, corner, tables, channels, w, forward, block, U, bias, y, V, M, chunk, m):
    """y = conv(x, w) + bias, group by group, a chunk of images at a time

    tables: (corners, targets, heights, widths, steps, taps) of the tiles of a chunk;   channels: of x, of y in a group, groups

    U holds the transformed weights of all groups; where that were too much, `block` outputs at a time are transformed into it.
    """
    corners, targets, heights, widths, steps, taps = tables
    inputs, outputs, groups = channels
    each, size, whole, rows = corners.size // chunk, U.size // groups, outputs * groups, len(w) // groups
    nothing = np.zeros(outputs + PAIR, np.float32)
    clear(image.reshape(-1))
    for n in range(0, len(x), chunk):
        part, out = x[n : n + chunk], y[n : n + chunk].reshape(-1)
        inside_border(part, corner, image)
        source, count = image.reshape(-1), len(part) * each
        for g in range(groups):
            enter(source[g * inputs :], corners, image.shape[2] * image.shape[3], image.shape[3], inputs, V, count, m)
            weights = U[g * size : (g + 1) * size]
            for first in range(0, outputs, block if block else outputs):
                some = min(block, outputs - first) if block else outputs
                if block:
                    weights = U[: (m + 2) * (m + 2) * (inputs * some + GAP)]
                    transform_weights(w[g * rows : (g + 1) * rows], forward, first, weights, m)
                products(V, weights, nothing, M, steps, taps, inputs, some, count, m)
                leave(M, bias[g * outputs + first :], out[g * outputs + first :], targets, heights, widths,
                      y.shape[2] * whole, whole, some, count, m)  # fmt: skip


@njit(**OPTIONS)
def winograd_gather(x, image, corner, tables, dy, slope, tables_dy, channels, total, V, W, chunk, m):
    """total += V' W over all tiles, group by group"""
    inputs, outputs, groups = channels
    corners, _, _, _, steps, taps = tables
    each, size = corners.size // chunk, total.size // groups
    clear(image.reshape(-1))
    clear(slope.reshape(-1))
    for n in range(0, len(x), chunk):
        part = x[n : n + chunk]
        inside_border(part, corner, image)
        inside_border(dy[n : n + chunk], (0, 0), slope)
        source, change, count = image.reshape(-1), slope.reshape(-1), len(part) * each
        for g in range(groups):
            enter(source[g * inputs :], corners, image.shape[2] * image.shape[3], image.shape[3], inputs, V, count, m)
            enter_slope(change[g * outputs :], tables_dy, slope.shape[2] * slope.shape[3], slope.shape[3], outputs, W, count, m)
            add_outer(V, W, total[g * size : (g + 1) * size], steps, taps, inputs, outputs, count, m)
