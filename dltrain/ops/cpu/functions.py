"""exp, tanh and their kin for float32 kernels: polynomials that the compiler can run on sixteen numbers at once."""

import math

import numpy as np
from numba import njit

F = np.float32
EXACT = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}

ROUND = F(12582912.0)  # 1.5 * 2^23: adding and taking it away rounds to a whole number
LOG2E, LN2_HIGH, LN2_LOW = F(1.44269504), F(0.693359375), F(-2.12194440e-4)
LEAST, MOST = F(-87.33654), F(89.0)  # e^LEAST is the least normal number; e^MOST is infinite


@njit(**EXACT)
def exp(x):
    """e^x within 2 units of the last place: 2^k p(x - k ln 2), p of degree 6 (Cephes expf).

    Beyond the largest number it is inf; below the least normal number, and for -inf, it is 0; NaN stays NaN.
    """
    a = MOST if x > MOST else x
    a = LEAST if a < LEAST else a
    k = (a * LOG2E + ROUND) - ROUND
    r = a - k * LN2_HIGH - k * LN2_LOW
    p = F(1.9875691500e-4) * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    p = p * r * r + r + F(1.0)
    whole = np.int32(k)  # up to 128, one more than an exponent can be: 2^k in two steps
    half = whole >> np.int32(1)
    p *= np.int32((half + np.int32(127)) << np.int32(23)).view(np.float32)
    p *= np.int32((whole - half + np.int32(127)) << np.int32(23)).view(np.float32)
    return F(0.0) if x < LEAST else p


@njit(**EXACT)
def tanh(x):
    """tanh x within 6 units of the last place: a rational function of degrees 9 and 8 (Eigen's coefficients); 1 beyond 9.

    Near 0, down to the denormal numbers, it is x; NaN stays NaN.
    """
    a = F(8.0177336) if x > F(8.0177336) else x
    a = F(-8.0177336) if a < F(-8.0177336) else a
    s = a * a
    p = F(1.394553628e-8) * s + F(2.102733560e-5)
    p = p * s + F(3.520756727e-3)
    p = p * s + F(1.340216100e-1)
    p = p * s + F(1.0)
    q = F(8.015776984e-7) * s + F(3.326951409e-4)
    q = q * s + F(2.597254514e-2)
    q = q * s + F(4.673548340e-1)
    q = q * s + F(1.0)
    y = a * (p / q)
    y = F(1.0) if x > F(9.0) else y
    return F(-1.0) if x < F(-9.0) else y


@njit(**EXACT)
def log(x):
    """ln x; -inf for 0, NaN below"""
    return F(math.log(x))


@njit(**EXACT)
def sqrt(x):
    """The square root; NaN below 0"""
    return F(math.sqrt(x))


@njit(**EXACT)
def minimum(a, b):
    """The lesser of two; NaN if one of them is"""
    return a if a <= b or a != a else b


@njit(**EXACT)
def maximum(a, b):
    """The greater of two; NaN if one of them is"""
    return a if a >= b or a != a else b
