"""The gradients of a max-pooled convolution from the winners alone, which are few of all places.

dw[o] += sum over windows of dy[n, ph, pw, o] * (patch of x under the winner)
dx    += sum over the winners of dy[n, ph, pw, o] * w[o], where the winner's patch lies
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS
from dltrain.ops.cpu.tiles import LANES
from dltrain.ops.cpu.winners import (
    collect_1,
    collect_2,
    collect_3,
    collect_4,
    collect_5,
    collect_6,
    collect_7,
    collect_8,
    collect_33,
    collect_51,
    collect_52,
    combine_1,
    combine_2,
    combine_3,
    combine_4,
    combine_5,
    combine_6,
    combine_7,
    combine_8,
)

MOST = 8 * LANES
HELD = 1 << 13  # numbers of images that are gone over together


@njit(**OPTIONS)
def combine(source, shift, offsets, values, count, target, at, run):
    """target[at + k] += sum over i < count of values[i] source[shift + offsets[i] + k], for k < run"""
    for k in range(0, run, MOST):
        room = min(run - k, MOST)
        vectors = -(-room // LANES)
        if vectors == 1:
            combine_1(source, shift + k, offsets, values, count, target, at + k, room)
        elif vectors == 2:
            combine_2(source, shift + k, offsets, values, count, target, at + k, room)
        elif vectors == 3:
            combine_3(source, shift + k, offsets, values, count, target, at + k, room)
        elif vectors == 4:
            combine_4(source, shift + k, offsets, values, count, target, at + k, room)
        elif vectors == 5:
            combine_5(source, shift + k, offsets, values, count, target, at + k, room)
        elif vectors == 6:
            combine_6(source, shift + k, offsets, values, count, target, at + k, room)
        elif vectors == 7:
            combine_7(source, shift + k, offsets, values, count, target, at + k, room)
        else:
            combine_8(source, shift + k, offsets, values, count, target, at + k, room)


@njit(**OPTIONS)
def corners_of(H, width, W, C, kernel, stride, dilation):
    """Where the window of each place of the plane begins in an image (H,W,C)."""
    height = (H - 1 - dilation[0] * (kernel[0] - 1)) // stride[0] + 1
    corners = np.empty(height * width, np.int64)
    for i in range(height * width):
        corners[i] = (i // width * stride[0] * W + i % width * stride[1]) * C
    return corners


@njit(**OPTIONS)
def collect(x, corners, winner, dy, at, step, count, images, size, down, target, to, pitch, run, rows):
    """What winners.collector says, for r < rows and any run."""
    for k in range(0, run, MOST):
        source, room, r = x[k:], min(run - k, MOST), 0
        while r < rows:
            line, into, left, vectors = source[r * down :], to + r * pitch + k, rows - r, -(-room // LANES)
            if vectors == 1 and left >= 5:
                collect_51(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 2 and left >= 5:
                collect_52(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 3 and left >= 3:
                collect_33(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 1:
                collect_1(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 2:
                collect_2(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 3:
                collect_3(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 4:
                collect_4(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 5:
                collect_5(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 6:
                collect_6(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            elif vectors == 7:
                collect_7(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            else:
                collect_8(line, corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room)
            r += 5 if vectors <= 2 and left >= 5 else 3 if vectors == 3 and left >= 3 else 1


@njit(**OPTIONS)
def winner_gradient(x, dy, winner, dw, width, kernel, stride, dilation):
    """dw (O,KH,KW*C) += the sum above, for bordered images x and a plane of this width."""
    N, H, W, C = x.shape
    _, PH, PW, O = dy.shape
    source, slope, where, target = x.reshape(-1), dy.reshape(-1), winner.reshape(-1), dw.reshape(-1)
    windows, run, down = PH * PW, kernel[1] * C, dilation[0] * W * C
    corners = corners_of(H, width, W, C, kernel, stride, dilation)
    size = H * W * C
    block = max(1, HELD // size)
    for n in range(0, N, block):
        images, x_part = min(block, N - n), source[n * size :]
        for o in range(O):
            at, to = n * windows * O + o, o * kernel[0] * run
            collect(x_part, corners, where, slope, at, O, windows, images, size, down, target, to, run, run, kernel[0])


@njit(**OPTIONS)
def winner_slope(dy, w, stride, dilation, dx):
    """dx (bordered images) = the sum above, for dy (N,OH,OW,O) most of which is 0, and w (O,KH,KW,C)."""
    N, H, W, C = dx.shape
    _, OH, OW, O = dy.shape
    _, KH, KW, _ = w.shape
    run = KW * C
    pitch = -(-run // LANES) * LANES
    slope, target, flat, room = dy.reshape(-1), dx.reshape(-1), w.reshape(-1), np.zeros((O * KH + 1) * pitch, np.float32)
    source = room[-(room.ctypes.data // 4) % LANES :]  # on a border of a vector
    for t in range(O * KH):
        for k in range(run):
            source[t * pitch + k] = flat[t * run + k]
    places, corners = OH * OW, corners_of(H, OW, W, C, (KH, KW), stride, dilation)
    offsets, values, ends = np.empty(places * O, np.int64), np.empty(places * O, np.float32), np.empty(places, np.int64)
    for i in range(target.size):
        target[i] = np.float32(0)
    for n in range(N):
        count = 0
        for q in range(places):
            for o in range(O):
                value = slope[(n * places + q) * O + o]
                offsets[count], values[count] = o * KH * pitch, value
                count += value != np.float32(0)
            ends[q] = count
        for kh in range(KH):
            first = 0
            for q in range(places):
                corner = (n * H + kh * dilation[0]) * W * C + corners[q]
                combine(source, kh * pitch, offsets[first:], values[first:], ends[q] - first, target, corner, run)
                first = ends[q]
