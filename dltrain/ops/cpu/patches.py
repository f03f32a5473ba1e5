"""Patch matrices of NHWC images: ``im2col`` copies patches out, ``col2im`` adds them back.

Both work on images that already carry their zero border, so no bounds are left to check.
With p = (n, oh, ow) and t = (kh, kw, c) inside group g:
    col[g, p, t] = x[n, oh*SH + kh*DH, ow*SW + kw*DW, g*C/G + c]
All flat indices are unsigned: that spares the wrap-around test and lets LLVM vectorise.
"""

import numpy as np
from numba import njit

OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False, "fastmath": {"contract", "reassoc", "nsz"}}
U = np.uint64


@njit(**OPTIONS)
def copy_interior(source, target, source_corner, target_corner, size):
    """target[:, corner + size] = source[:, corner + size]; the rest of target is zeroed first.

    Puts a zero border round an image, or takes it off again.
    """
    N, H, W, C = source.shape
    _, TH, TW, _ = target.shape
    src = source.reshape(-1)
    dst = target.reshape(-1)
    run = U(size[1] * C)
    for i in range(U(dst.size if size[0] < TH or size[1] < TW else 0)):
        dst[i] = 0.0
    for n in range(N):
        for h in range(size[0]):
            s = U(((n * H + h + source_corner[0]) * W + source_corner[1]) * C)
            t = U(((n * TH + h + target_corner[0]) * TW + target_corner[1]) * C)
            for i in range(run):
                dst[t + i] = src[s + i]


@njit(**OPTIONS)
def im2col(x, col, plane, kernel, stride, dilation):
    """col (G, N*OH*OW, K) <- the patches of x (N,H,W,C) for an (OH,OW) output plane."""
    N, H, W, C = x.shape
    OH, OW = plane
    KH, KW = kernel
    G, P, K = col.shape
    merged = G == 1 and dilation[1] == 1  # a kernel row is one run of x
    run = U(KW * C if merged else C // G)
    taps = 1 if merged else KW
    src = x.reshape(-1)
    dst = col.reshape(-1)
    for g in range(G):
        q = U(g * P * K)
        for n in range(N):
            for oh in range(OH):
                for ow in range(OW):
                    for kh in range(KH):
                        h = n * H + oh * stride[0] + kh * dilation[0]
                        for kw in range(taps):
                            w = ow * stride[1] + kw * dilation[1]
                            s = U((h * W + w) * C + g * (C // G))
                            for i in range(run):
                                dst[q + i] = src[s + i]
                            q += run


@njit(**OPTIONS)
def col2im(col, x, plane, kernel, stride, dilation):
    """x <- the sum of all patches at their places: the adjoint of im2col."""
    N, H, W, C = x.shape
    OH, OW = plane
    KH, KW = kernel
    G, P, K = col.shape
    merged = G == 1 and dilation[1] == 1
    run = U(KW * C if merged else C // G)
    taps = 1 if merged else KW
    src = col.reshape(-1)
    dst = x.reshape(-1)
    for i in range(U(dst.size)):
        dst[i] = 0.0
    for g in range(G):
        q = U(g * P * K)
        for n in range(N):
            for oh in range(OH):
                for ow in range(OW):
                    for kh in range(KH):
                        h = n * H + oh * stride[0] + kh * dilation[0]
                        for kw in range(taps):
                            w = ow * stride[1] + kw * dilation[1]
                            s = U((h * W + w) * C + g * (C // G))
                            for i in range(run):
                                dst[s + i] += src[q + i]
                            q += run


@njit(**OPTIONS)
def add_bias(y, b):
    """y[p] += b for every row p."""
    P, O = y.shape
    flat = y.reshape(-1)
    for p in range(P):
        row = U(p * O)
        for o in range(U(O)):
            flat[row + o] += b[o]


@njit(**OPTIONS)
def sum_rows(y, total):
    """total = sum of the rows of y, eight at a time."""
    P, O = y.shape
    flat = y.reshape(-1)
    O1 = U(O)
    for o in range(O1):
        total[o] = 0.0
    for p in range(P // 8):
        r = U(p * 8 * O)
        for o in range(O1):
            i = r + o
            total[o] += ((flat[i] + flat[i + O1]) + (flat[i + U(2) * O1] + flat[i + U(3) * O1])) + (
                (flat[i + U(4) * O1] + flat[i + U(5) * O1]) + (flat[i + U(6) * O1] + flat[i + U(7) * O1])
            )
    for p in range(P // 8 * 8, P):
        r = U(p * O)
        for o in range(O1):
            total[o] += flat[r + o]
