"""The weight gradient of a max-pooled convolution from the winners alone.

Only the winners of the pooling have a gradient, so instead of a product over the whole plane
    dw[o] = sum over windows of dy[n, ph, pw, o] * (patch of x under the winner)
"""

import numpy as np
from numba import njit

from dltrain.ops.cpu.patches import OPTIONS, U

PATCHES = 8  # patches added in one pass over dw[o]


@njit(**OPTIONS)
def pick(dy, where, start, stride, count, j, places, g, at):
    """Gradient and image place of entries j..j+7; past count the last one again, times 0."""
    for r in range(PATCHES):
        i = U(start + min(j + r, count - 1) * stride)
        g[r] = dy[i] if j + r < count else np.float32(0)
        at[r] = places[U(where[i])]


@njit(**OPTIONS)
def winner_gradient(x, dy, winner, dw, width, kernel, stride, dilation):
    """dw (O,KH,KW*C) += the sum above, for bordered images x and a plane of this width."""
    N, H, W, C = x.shape
    _, PH, PW, O = dy.shape
    src, gradient, where, out = x.reshape(-1), dy.reshape(-1), winner.reshape(-1), dw.reshape(-1)
    windows, run, step = PH * PW, U(kernel[1] * C), U(dilation[0] * W * C)
    g, at = np.zeros(PATCHES, np.float32), np.zeros(PATCHES, np.uint64)
    height = ((H - 1 - dilation[0] * (kernel[0] - 1)) // stride[0]) + 1
    places = np.zeros(height * width, np.uint64)
    for i in range(height * width):
        places[i] = (i // width * stride[0] * W + i % width * stride[1]) * C
    for n in range(N):
        image = src[n * H * W * C : (n + 1) * H * W * C]
        for o in range(O):
            for j in range(0, windows, PATCHES):
                pick(gradient, where, n * windows * O + o, O, windows, j, places, g, at)
                g0, g1, g2, g3, g4, g5, g6, g7 = g
                a, b, c, d, e, f, k, m = at
                q = U(o * kernel[0]) * run
                for _ in range(kernel[0]):
                    for i in range(run):
                        out[q + i] += ((g0 * image[a + i] + g1 * image[b + i]) + (g2 * image[c + i] + g3 * image[d + i])) + (
                            (g4 * image[e + i] + g5 * image[f + i]) + (g6 * image[k + i] + g7 * image[m + i])
                        )
                    q += run
                    a, b, c, d = a + step, b + step, c + step, d + step
                    e, f, k, m = e + step, f + step, k + step, m + step
