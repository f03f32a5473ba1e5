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
from dltrain.ops.cpu.transforms import image_2, image_4, result_2, result_4, slope_2, slope_4

GAP = 5 * LANES
BLOCK = 4 * PAIR  # weights whose tiles are worked on side by side


@njit(**OPTIONS)
def both_sides(left, small, half, made):
    """made (p,p,L) = left small left', left (p,q) and small (q,q,L), a row of L numbers at a time"""
    p, q = left.shape
    for a in range(p):
        for j in range(q):
            out = half[a, j]
            first, factor = small[0, j], left[a, 0]
            for i in range(out.size):
                out[i] = factor * first[i]
            for k in range(1, q):
                row, factor = small[k, j], left[a, k]
                for i in range(out.size):
                    out[i] += factor * row[i]
    for a in range(p):
        for b in range(p):
            out = made[a, b]
            first, factor = half[a, 0], left[b, 0]
            for i in range(out.size):
                out[i] = factor * first[i]
            for k in range(1, q):
                row, factor = half[a, k], left[b, k]
                for i in range(out.size):
                    out[i] += factor * row[i]


@njit(**OPTIONS)
def transform_weights(w, G, forward, U):
    """U (n^2, panels) <- G w G' of w (O,3,3,C); backward: of the weights turned round, with O and C in each other's place"""
    O, _, _, C = w.shape
    n, flat = G.shape[0], w.reshape(-1)
    size, inner = (O, C) if forward else (C, O)
    one, other = (U64(9 * C), U64(1)) if forward else (U64(1), U64(9 * C))
    plane = U64(U.size // (n * n))
    for low in range(0, size, BLOCK):
        count = min(BLOCK, size - low)
        small, half = np.empty((3, 3, count), np.float32), np.empty((n, 3, count), np.float32)
        made = np.empty((n, n, count), np.float32)
        made_flat = made.reshape(-1)
        for k in range(inner):
            for t in range(9):
                at, row = U64((t if forward else 8 - t) * C) + U64(k) * other + U64(low) * one, small[t // 3, t % 3]
                for i in range(U64(count)):
                    row[i] = flat[at + i * one]
            both_sides(G, small, half, made)
            for a in range(U64(n * n)):
                for first in range(0, count, PAIR):
                    width = U64(min(PAIR, count - first))
                    source, target = a * U64(count) + U64(first), a * plane + U64((low + first) * inner) + U64(k) * width
                    for i in range(width):
                        U[target + i] = made_flat[source + i]


@njit(**OPTIONS)
def collect_weights(total, back, dw):
    """dw (O,3,3,C) <- G' total G, total (n^2,C,O) flat, back = G'"""
    O, _, _, C = dw.shape
    n, target = back.shape[1], dw.reshape(-1)
    plane, step = total.size // (n * n), U64(9 * C)
    for low in range(0, O, BLOCK):
        count = min(BLOCK, O - low)
        small, half = np.empty((n, n, count), np.float32), np.empty((3, n, count), np.float32)
        made = np.empty((3, 3, count), np.float32)
        for c in range(C):
            for a in range(n * n):
                row, source = small[a // n, a % n], total[a * plane + c * O + low : a * plane + c * O + low + count]
                for i in range(count):
                    row[i] = source[i]
            both_sides(back, small, half, made)
            for t in range(9):
                row, at = made[t // 3, t % 3], U64(low * 9 * C + t * C + c)
                for i in range(U64(count)):
                    target[at + i * step] = row[i]


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
    """M[a] = V[a] U[a] for each of the n^2 places in a tile; steps (2, T) are the offsets of V's and M's rows"""
    size = U.size // ((m + 2) * (m + 2))
    for a in range((m + 2) * (m + 2)):
        sweep(V[a * (count * channels + GAP) :], steps[0], taps, channels, U[a * size : (a + 1) * size], nothing,
              M[a * (count * outputs + GAP) :], steps[1], outputs, count)  # fmt: skip


@njit(**OPTIONS)
def add_outer(V, W, total, steps, taps, channels, outputs, count, m):
    """total[a] += V[a]' W[a], (n^2,C,O)"""
    size = total.size // ((m + 2) * (m + 2))
    for a in range((m + 2) * (m + 2)):
        gather(V[a * (count * channels + GAP) :], steps[0], taps, channels, W[a * (count * outputs + GAP) :], outputs, outputs,
               total[a * size : (a + 1) * size], count)  # fmt: skip


@njit(**OPTIONS)
def winograd_chunks(x, image, corner, tables, channels, U, bias, y, V, M, chunk, m):
    """y = conv(x, w) + bias, group by group, a chunk of images at a time

    tables: (corners, targets, heights, widths, steps, taps) of the tiles of a chunk;   channels: of x, of y in a group, groups
    """
    corners, targets, heights, widths, steps, taps = tables
    inputs, outputs, groups = channels
    each, size, whole = corners.size // chunk, U.size // groups, outputs * groups
    nothing = np.zeros(outputs + PAIR, np.float32)
    clear(image.reshape(-1))
    for n in range(0, len(x), chunk):
        part, out = x[n : n + chunk], y[n : n + chunk].reshape(-1)
        inside_border(part, corner, image)
        source, count = image.reshape(-1), len(part) * each
        for g in range(groups):
            enter(source[g * inputs :], corners, image.shape[2] * image.shape[3], image.shape[3], inputs, V, count, m)
            products(V, U[g * size : (g + 1) * size], nothing, M, steps, taps, inputs, outputs, count, m)
            leave(M, bias[g * outputs :], out[g * outputs :], targets, heights, widths, y.shape[2] * whole, whole,
                  outputs, count, m)  # fmt: skip


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
