"""Convolution with few taps and 2x2 max pooling, sample by sample and without patches.

Image and output are kept as planes of one row pitch P (the bordered image's width), so that
a tap t = (kh, kw, c) is one offset into the flat image, and a whole plane is one long loop:
    plane[o, q] = sum over t of w[o, t] * image[q + offset[t]],    q = oh*P + ow
Places with ow beyond the output's width mean nothing: never read, and zero in a gradient.
Channels go two and taps five at a time: ten products for five loads.
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS, U
from dltrain.ops.cpu.pooling import LOWEST

CHANNELS, TAPS = 2, 5


@njit(**OPTIONS)
def tap_offsets(kernel, dilation, C, area, pitch):
    """Offset of every tap t = (kh, kw, c), filled up to whole fives with offset 0."""
    K = kernel[0] * kernel[1] * C
    offsets = np.zeros(-(-K // TAPS) * TAPS, np.uint64)
    t = U(0)
    for kh in range(kernel[0]):
        for kw in range(kernel[1]):
            for c in range(C):
                offsets[t] = U(c * area + kh * dilation[0] * pitch + kw * dilation[1])
                t += U(1)
    return offsets


@njit(**OPTIONS)
def to_planes(x, n, pad, image, pitch):
    """image <- sample n of x (N,H,W,C) as C planes, inside a border that stays as it is."""
    _, H, W, C = x.shape
    src = x.reshape(-1)
    for c in range(C):
        for h in range(H):
            s = U((n * H + h) * W * C + c)
            t = U((c * (H + 2 * pad[0]) + h + pad[0]) * pitch + pad[1])
            for w in range(U(W)):
                image[t + w] = src[s + w * U(C)]


@njit(**OPTIONS)
def correlate(image, weights, offsets, plane, size):
    """plane[o, q] = sum over t of weights[o, t] * image[q + offsets[t]] for q < size."""
    O, K = weights.shape
    y, w = plane.reshape(-1), weights.reshape(-1)
    for i in range(U(y.size)):
        y[i] = 0.0
    for o in range(0, O, CHANNELS):
        p, q = U(o * plane.shape[1]), U((o + 1) * plane.shape[1])
        for k in range(0, K, TAPS):
            s0, s1, s2, s3, s4 = offsets[k : k + TAPS]
            u, v = U(o * K + k), U((o + 1) * K + k)
            a0, a1, a2, a3, a4 = w[u], w[u + U(1)], w[u + U(2)], w[u + U(3)], w[u + U(4)]
            b0, b1, b2, b3, b4 = w[v], w[v + U(1)], w[v + U(2)], w[v + U(3)], w[v + U(4)]
            for i in range(U(size)):
                x0, x1, x2 = image[s0 + i], image[s1 + i], image[s2 + i]
                x3, x4 = image[s3 + i], image[s4 + i]
                y[p + i] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4
                y[q + i] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + b4 * x4


@njit(**OPTIONS)
def add_products(image, plane, offsets, dw, size):
    """dw[o, t] += sum over q < size of plane[o, q] * image[q + offsets[t]]."""
    O, K = dw.shape
    y, w = plane.reshape(-1), dw.reshape(-1)
    for o in range(0, O, CHANNELS):
        p, q = U(o * plane.shape[1]), U((o + 1) * plane.shape[1])
        for k in range(0, K, TAPS):
            s0, s1, s2, s3, s4 = offsets[k : k + TAPS]
            a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = b3 = b4 = np.float32(0)
            for i in range(U(size)):
                x0, x1, x2 = image[s0 + i], image[s1 + i], image[s2 + i]
                x3, x4 = image[s3 + i], image[s4 + i]
                g, h = y[p + i], y[q + i]
                a0, a1, a2, a3, a4 = a0 + g * x0, a1 + g * x1, a2 + g * x2, a3 + g * x3, a4 + g * x4
                b0, b1, b2, b3, b4 = b0 + h * x0, b1 + h * x1, b2 + h * x2, b3 + h * x3, b4 + h * x4
            for t, value in enumerate((a0, a1, a2, a3, a4)):
                w[U(o * K + k + t)] += value
            for t, value in enumerate((b0, b1, b2, b3, b4)):
                w[U((o + 1) * K + k + t)] += value


@njit(**OPTIONS)
def pool_everywhere(src, size, pitch, width, best, move):
    """best[q] = max of src at q, q+1, q+pitch, q+pitch+1; move[q] = how far past q it lies,
    in a plane without the gap between width and pitch."""
    first, right = np.int32(0), np.int32(1)
    under, corner = np.int32(width), np.int32(width + 1)
    down = U(pitch)
    for q in range(U(size)):
        a, b, c, d = src[q], src[q + U(1)], src[q + down], src[q + down + U(1)]
        m, at = a if a > LOWEST else LOWEST, first
        m, at = b if b > m else m, right if b > m else at
        m, at = c if c > m else m, under if c > m else at
        m, at = d if d > m else m, corner if d > m else at
        best[q] = m if m > LOWEST else a
        move[q] = at


@njit(**OPTIONS)
def pool_clipped(src, pitch, top, left, outside):
    """The maximum and place of a 2x2 window that reaches over the plane's edge."""
    OH, OW = outside
    h0, w0 = max(top, 0), max(left, 0)
    m, place = LOWEST, h0 * OW + w0
    for h in range(h0, min(top + 2, OH)):
        for w in range(w0, min(left + 2, OW)):
            v = src[h * pitch + w]
            if v > m:
                m, place = v, h * OW + w
    return m if m > LOWEST else src[h0 * pitch + w0], place


@njit(**OPTIONS)
def pool_planes(plane, outside, pitch, b, y, winner, n, stride, pad):
    """Sample n of y and winner (NHWC) from the planes' 2x2 windows: see pooling.max_pool."""
    _, PH, PW, O = y.shape
    OH, OW = outside
    out, where = y.reshape(-1), winner.reshape(-1)
    size = max(0, (OH - 2) * pitch + OW - 1)
    best, move = np.empty(size, np.float32), np.empty(size, np.int32)
    for o in range(O):
        pool_everywhere(plane[o], size, pitch, OW, best, move)
        t = U(n * PH * PW * O + o)
        for ph in range(PH):
            top = ph * stride[0] - pad[0]
            inner = OW - 1 if 0 <= top < OH - 1 else 0
            left = -pad[1]
            for _ in range(PW):
                if 0 <= left < inner:
                    q = U(top * pitch + left)
                    m, place = best[q], top * OW + left + move[q]
                else:
                    m, place = pool_clipped(plane[o], pitch, top, left, outside)
                out[t] = m + b[o]
                where[t] = place
                left += stride[1]
                t += U(O)


@njit(**OPTIONS)
def unpool_planes(dy, winner, n, plane, places):
    """plane = 0, then plane[o, places[winner]] += dy for sample n."""
    _, PH, PW, O = dy.shape
    src, where, dst = dy.reshape(-1), winner.reshape(-1), plane.reshape(-1)
    for i in range(U(dst.size)):
        dst[i] = 0.0
    t = U(n * PH * PW * O)
    for _ in range(PH * PW):
        for o in range(U(O)):
            dst[o * U(plane.shape[1]) + U(places[U(where[t + o])])] += src[t + o]
        t += U(O)


@njit(**OPTIONS)
def direct_forward(x, w, b, y, winner, image, plane, outside, geometry, stride, pad):
    """y = max over 2x2 of conv(x, w), + b; geometry is (kernel, pad, dilation)."""
    kernel, border, dilation = geometry
    N, H, W, C = x.shape
    pitch = W + 2 * border[1]
    offsets = tap_offsets(kernel, dilation, C, (H + 2 * border[0]) * pitch, pitch)
    O, K = w.shape
    weights = np.zeros((plane.shape[0], len(offsets)), np.float32)
    for o in range(O):
        for t in range(K):
            weights[o, t] = w[o, t]
    for i in range(U(image.size)):
        image[i] = 0.0
    size = (outside[0] - 1) * pitch + outside[1]
    for n in range(N):
        to_planes(x, n, border, image, pitch)
        correlate(image, weights, offsets, plane, size)
        pool_planes(plane, outside, pitch, b, y, winner, n, stride, pad)


@njit(**OPTIONS)
def direct_gradient(x, dy, winner, dw, image, plane, outside, geometry):
    """dw = the weight gradient of direct_forward."""
    kernel, border, dilation = geometry
    N, H, W, C = x.shape
    pitch = W + 2 * border[1]
    offsets = tap_offsets(kernel, dilation, C, (H + 2 * border[0]) * pitch, pitch)
    places = np.zeros(outside[0] * outside[1], np.uint32)
    for h in range(outside[0]):
        for w in range(outside[1]):
            places[h * outside[1] + w] = h * pitch + w
    total = np.zeros((plane.shape[0], len(offsets)), np.float32)
    for i in range(U(image.size)):
        image[i] = 0.0
    size = (outside[0] - 1) * pitch + outside[1]
    for n in range(N):
        to_planes(x, n, border, image, pitch)
        unpool_planes(dy, winner, n, plane, places)
        add_products(image, plane, offsets, total, size)
    O, K = dw.shape
    for o in range(O):
        for t in range(K):
            dw[o, t] = total[o, t]
