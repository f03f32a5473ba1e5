"""The gradients of a max-pooled convolution from the winners alone, which are few of all places.

dw[o] += sum over windows of dy[n, ph, pw, o] * (patch of x under the winner)
dx    += sum over the winners of dy[n, ph, pw, o] * w[o], where the winner's patch lies
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS
from dltrain.ops.cpu.tiles import LANES
from dltrain.ops.cpu.winners import MOST, TALL, collect, combine

LONGEST, HEIGHTS = MOST * LANES, np.array(TALL)
HELD = 1 << 13  # numbers of images that are gone over together


@njit(**OPTIONS)
def combine_run(source, shift, offsets, values, count, target, at, run):
    """What winners.combine says, of any run."""
    for k in range(0, run, LONGEST):
        combine(source, shift + k, offsets, values, count, target, at + k, min(run - k, LONGEST))


@njit(**OPTIONS)
def corners_of(H, width, W, C, kernel, stride, dilation):
    """Where the window of each place of the plane begins in an image (H,W,C)."""
    height = (H - 1 - dilation[0] * (kernel[0] - 1)) // stride[0] + 1
    corners = np.empty(height * width, np.int64)
    for i in range(height * width):
        corners[i] = (i // width * stride[0] * W + i % width * stride[1]) * C
    return corners


@njit(**OPTIONS)
def collect_lines(x, corners, winner, dy, at, step, count, images, size, down, target, to, pitch, run, rows):
    """What winners.collect says, of any run and any number of lines."""
    for k in range(0, run, LONGEST):
        source, room, r = x[k:], min(run - k, LONGEST), 0
        tall = HEIGHTS[-(-room // LANES) - 1]
        while r < rows:
            many = tall if rows - r >= tall else 1
            into = to + r * pitch + k
            collect(source[r * down :], corners, winner, dy, at, step, count, images, size, down, target, into, pitch, room, many)
            r += many


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
            collect_lines(x_part, corners, where, slope, at, O, windows, images, size, down, target, to, run, run, kernel[0])


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
                combine_run(source, kh * pitch, offsets[first:], values[first:], ends[q] - first, target, corner, run)
                first = ends[q]
