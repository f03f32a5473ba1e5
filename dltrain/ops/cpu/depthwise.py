"""Convolution where each channel has a filter of its own (group = channels = outputs): kernels that go over channels innermost.

Taps are wt (KH KW, C).  Windows are clipped to the image, so that no border is copied.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS, U


@njit(**OPTIONS)
def clipped(first, step, taps, size):
    """The taps from .. to of a window that begins at `first` whose places lie inside 0 .. size."""
    low = 0 if first >= 0 else -(first // step)
    high = taps if first + (taps - 1) * step < size else max(0, -((first - size) // step))
    return low, max(low, high)


@njit(**OPTIONS)
def depthwise_forward(x, wt, b, y, kernel, stride, pad, dilation):
    """y[n, oh, ow, c] = b[c] + sum over taps of x[n, at the tap, c] wt[tap, c]"""
    N, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    source, weights, target, channels = x.reshape(-1), wt.reshape(-1), y.reshape(-1), U(C)
    total, q = np.empty(C, np.float32), U(0)
    for n in range(N):
        for oh in range(OH):
            top = oh * stride[0] - pad[0]
            h0, h1 = clipped(top, dilation[0], kernel[0], H)
            for ow in range(OW):
                left = ow * stride[1] - pad[1]
                w0, w1 = clipped(left, dilation[1], kernel[1], W)
                for c in range(channels):
                    total[c] = b[c]
                for kh in range(h0, h1):
                    for kw in range(w0, w1):
                        s = U(((n * H + top + kh * dilation[0]) * W + left + kw * dilation[1]) * C)
                        t = U((kh * kernel[1] + kw) * C)
                        for c in range(channels):
                            total[c] += source[s + c] * weights[t + c]
                for c in range(channels):
                    target[q + c] = total[c]
                q += channels


@njit(**OPTIONS)
def depthwise_dx(wt, dy, dx, kernel, stride, pad, dilation):
    """dx = 0, then dx[n, at the tap, c] += dy[n, oh, ow, c] wt[tap, c]"""
    N, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    slope, weights, target, channels, q = dy.reshape(-1), wt.reshape(-1), dx.reshape(-1), U(C), U(0)
    for i in range(U(target.size)):
        target[i] = np.float32(0)
    for n in range(N):
        for oh in range(OH):
            top = oh * stride[0] - pad[0]
            h0, h1 = clipped(top, dilation[0], kernel[0], H)
            for ow in range(OW):
                left = ow * stride[1] - pad[1]
                w0, w1 = clipped(left, dilation[1], kernel[1], W)
                for kh in range(h0, h1):
                    for kw in range(w0, w1):
                        s = U(((n * H + top + kh * dilation[0]) * W + left + kw * dilation[1]) * C)
                        t = U((kh * kernel[1] + kw) * C)
                        for c in range(channels):
                            target[s + c] += slope[q + c] * weights[t + c]
                q += channels


@njit(**OPTIONS)
def depthwise_dw(x, dy, dwt, kernel, stride, pad, dilation):
    """dwt[tap, c] = sum over all places of dy[n, oh, ow, c] x[n, at the tap, c], row of places by row"""
    N, H, W, C = x.shape
    _, OH, OW, _ = dy.shape
    source, slope, channels, q = x.reshape(-1), dy.reshape(-1), U(C), U(0)
    total, part = dwt.reshape(-1), np.zeros(dwt.size, np.float32)
    for i in range(U(total.size)):
        total[i] = np.float32(0)
    for n in range(N):
        for oh in range(OH):
            top = oh * stride[0] - pad[0]
            h0, h1 = clipped(top, dilation[0], kernel[0], H)
            for ow in range(OW):
                left = ow * stride[1] - pad[1]
                w0, w1 = clipped(left, dilation[1], kernel[1], W)
                for kh in range(h0, h1):
                    for kw in range(w0, w1):
                        s = U(((n * H + top + kh * dilation[0]) * W + left + kw * dilation[1]) * C)
                        t = U((kh * kernel[1] + kw) * C)
                        for c in range(channels):
                            part[t + c] += slope[q + c] * source[s + c]
                q += channels
            for i in range(U(total.size)):
                total[i] += part[i]
                part[i] = np.float32(0)
