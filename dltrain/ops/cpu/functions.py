"""exp, tanh and their kin for float32 kernels: polynomials that the compiler can run on sixteen numbers at once."""

import math

import numpy as np
from numba import njit

F = np.float32
EXACT = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}

ROUND = F(12582912.0)  # 1.5 * 2^23: adding and taking it away rounds to a whole number
LOG2E, LN2_HIGH, LN2_LOW = F(1.44269504), F(0.693359375), F(-2.12194440e-4)


@njit(**EXACT)
def exp(x):
    """e^x within 2 units of the last place: 2^k p(x - k ln 2), p of degree 6 (Cephes expf)."""
    x = F(88.72) if x > F(88.72) else x
    x = F(-87.33) if x < F(-87.33) else x
    k = (x * LOG2E + ROUND) - ROUND
    r = x - k * LN2_HIGH - k * LN2_LOW
    p = F(1.9875691500e-4) * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    p = p * r * r + r + F(1.0)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(**EXACT)
def tanh(x):
    """tanh x within 4 units of the last place: a rational function of degrees 13 and 6 on [-9, 9] (Eigen's coefficients)."""
    x = F(7.9053111) if x > F(7.9053111) else x
    x = F(-7.9053111) if x < F(-7.9053111) else x
    s = x * x
    p = F(-2.76076847742355e-16) * s + F(2.00018790482477e-13)
    p = p * s + F(-8.60467152213735e-11)
    p = p * s + F(5.12229709037114e-08)
    p = p * s + F(1.48572235717979e-05)
    p = p * s + F(6.37261928875436e-04)
    p = p * s + F(4.89352455891786e-03)
    q = F(1.19825839466702e-06) * s + F(1.18534705686654e-04)
    q = q * s + F(2.26843463243900e-03)
    q = q * s + F(4.89352518554385e-03)
    return x * p / q


@njit(**EXACT)
def log(x):
    """ln x"""
    return F(math.log(x))


@njit(**EXACT)
def sqrt(x):
    return F(math.sqrt(x))
