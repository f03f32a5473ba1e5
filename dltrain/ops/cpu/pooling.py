"""Max and mean pooling of NHWC images, vectorised over channels.

A window (kernel, stride, pad) covers rows ph*s - p up to ph*s - p + k, clipped to the image.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS, U

LOWEST = np.float32(-np.inf)
LEAST = np.float32(np.finfo(np.float32).min)


@njit(**OPTIONS)
def max_pool(x, b, y, winner, kernel, stride, pad):
    """y = b + max over the window of x; winner = h*W + w of the first maximum.

    A number always beats NaN; only a window of nothing but NaN gives NaN.  A window with no element gives LEAST and winner -1.
    """
    N, H, W, C = x.shape
    _, PH, PW, _ = y.shape
    src, best, where = x.reshape(-1), y.reshape(-1), winner.reshape(-1)
    channels = U(C)
    t = U(0)
    for n in range(N):
        for ph in range(PH):
            top = ph * stride[0] - pad[0]
            h0, h1 = max(top, 0), min(top + kernel[0], H)
            for pw in range(PW):
                left = pw * stride[1] - pad[1]
                w0, w1 = max(left, 0), min(left + kernel[1], W)
                empty = h0 >= h1 or w0 >= w1
                place = np.int32(-1) if empty else np.int32(h0 * W + w0)
                for c in range(channels):
                    best[t + c] = LEAST if empty else LOWEST
                    where[t + c] = place
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        s = U(((n * H + h) * W + w) * C)
                        place = np.int32(h * W + w)
                        for c in range(channels):
                            v, m, at = src[s + c], best[t + c], where[t + c]
                            best[t + c] = v if v > m else m
                            where[t + c] = place if v > m else at
                s = U(0) if empty else U(((n * H + h0) * W + w0) * C)
                for c in range(channels):
                    m = best[t + c]
                    best[t + c] = (m if m > LOWEST else src[s + c]) + b[c]
                t += channels


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
