"""Max and mean pooling of NHWC images, vectorised over channels.

A window (kernel, stride, pad) covers rows ph*s - p up to ph*s - p + k, clipped to the image.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS, U
from dltrain.ops.cpu.tiles import LANES
from dltrain.ops.cpu.winners import pool_one, pool_two

LOWEST = np.float32(-np.inf)
LEAST = np.float32(np.finfo(np.float32).min)


@njit(**OPTIONS)
def max_pool(x, b, y, winner, kernel, stride, pad):
    """y = b + max over the window of x; winner = h*W + w of the first maximum.

    A number always beats NaN; only a window of nothing but NaN gives NaN.  A window with no element gives LEAST and winner -1.
    """
    N, H, W, C = x.shape
    _, PH, PW, _ = y.shape
    source, best, where = x.reshape(-1), y.reshape(-1), winner.reshape(-1)
    at = 0
    for n in range(N):
        for ph in range(PH):
            top = ph * stride[0] - pad[0]
            h0, h1 = max(top, 0), min(top + kernel[0], H)
            for pw in range(PW):
                left = pw * stride[1] - pad[1]
                w0, w1 = max(left, 0), min(left + kernel[1], W)
                corner, place = ((n * H + h0) * W + w0) * C, h0 * W + w0
                if h0 >= h1 or w0 >= w1:
                    for c in range(C):
                        best[at + c], where[at + c] = LEAST + b[c], np.int32(-1)
                else:
                    for c in range(0, C, 2 * LANES):
                        room = C - c
                        if room > LANES:
                            pool_two(source, corner + c, W * C, C, h1 - h0, w1 - w0, place, W, b[c:], best, where, at + c, room)
                        else:
                            pool_one(source, corner + c, W * C, C, h1 - h0, w1 - w0, place, W, b[c:], best, where, at + c, room)
                at += C


@njit(**OPTIONS)
def max_unpool(dy, winner, dx):
    """dx = 0, then dx[winner] += dy: the gradient of max_pool.  A winner below 0 (of a window with no element) gives nothing."""
    N, PH, PW, C = dy.shape
    size = U(dx.shape[1] * dx.shape[2] * C)
    src, where, dst = dy.reshape(-1), winner.reshape(-1), dx.reshape(-1)
    channels = U(C)
    t = U(0)
    for n in range(U(N)):
        plane = n * size
        for i in range(size):
            dst[plane + i] = 0.0
        for _ in range(PH * PW):
            for c in range(channels):
                if where[t + c] >= 0:
                    dst[plane + U(where[t + c]) * channels + c] += src[t + c]
            t += channels


@njit(**OPTIONS)
def mean_pool(x, y, kernel, stride, pad):
    """y = (sum over the clipped window) / (window area within the padded image)."""
    N, H, W, C = x.shape
    _, PH, PW, _ = y.shape
    src, dst = x.reshape(-1), y.reshape(-1)
    channels = U(C)
    t = U(0)
    for n in range(N):
        for ph in range(PH):
            top = ph * stride[0] - pad[0]
            bottom = min(top + kernel[0], H + pad[0])
            for pw in range(PW):
                left = pw * stride[1] - pad[1]
                right = min(left + kernel[1], W + pad[1])
                scale = np.float32(1.0 / ((bottom - top) * (right - left)))
                for c in range(channels):
                    dst[t + c] = 0.0
                for h in range(max(top, 0), min(bottom, H)):
                    for w in range(max(left, 0), min(right, W)):
                        s = U(((n * H + h) * W + w) * C)
                        for c in range(channels):
                            dst[t + c] += src[s + c]
                for c in range(channels):
                    dst[t + c] *= scale
                t += channels


@njit(**OPTIONS)
def mean_unpool(dy, dx, kernel, stride, pad):
    """dx = sum over the windows of dy / area: the gradient of mean_pool."""
    N, H, W, C = dx.shape
    _, PH, PW, _ = dy.shape
    src, dst = dy.reshape(-1), dx.reshape(-1)
    channels = U(C)
    for i in range(U(dst.size)):
        dst[i] = 0.0
    t = U(0)
    for n in range(N):
        for ph in range(PH):
            top = ph * stride[0] - pad[0]
            bottom = min(top + kernel[0], H + pad[0])
            for pw in range(PW):
                left = pw * stride[1] - pad[1]
                right = min(left + kernel[1], W + pad[1])
                scale = np.float32(1.0 / ((bottom - top) * (right - left)))
                for h in range(max(top, 0), min(bottom, H)):
                    for w in range(max(left, 0), min(right, W)):
                        s = U(((n * H + h) * W + w) * C)
                        for c in range(channels):
                            dst[s + c] += src[t + c] * scale
                t += channels
