"""Softmax regression, fitted to the end: the linear classifier behind `dltrain probe`."""

from __future__ import annotations

from typing import Any

import numpy as np

MEMORY = 10  # steps that L-BFGS remembers
MOST = 1000  # steps
SMALL = 1e-6  # of the gradient, where the fit ends


class SoftmaxRegression:
    """minimises  -mean log p[label] + (l2 / 2) |w|^2,   p = softmax(x w + b);   b is free

    x (N, D), labels 0 .. C - 1.  The minimum is unique, so it does not matter where the search begins, nor does any seed.
    Where D > N the search is for w in the span of x, which has the minimum: w = v a of the decomposition x = u s v'.
    """

    def __init__(self, x: Any, labels: Any, classes: int) -> None:
        self.basis: Any = None
        if x.shape[1] > x.shape[0]:
            self.basis = np.linalg.svd(x, full_matrices=False)[2].T
            x = x @ self.basis
        self.x, self.labels, self.classes = x, labels, classes
        self.target = np.eye(classes)[labels]
        self.w = np.zeros((x.shape[1] + 1, classes))  # the last row is b

    def fit(self, l2: float) -> SoftmaxRegression:
        """Begins where the last fit ended."""
        self.w = minimum(lambda w: self.objective(w, l2), self.w)
        return self

    def objective(self, w: Any, l2: float) -> tuple[float, Any]:
        """The value, and its gradient."""
        logp = log_softmax(self.x @ w[:-1] + w[-1])
        value = -float(logp[np.arange(len(self.labels)), self.labels].mean()) + l2 / 2 * float((w[:-1] ** 2).sum())
        dy = (np.exp(logp) - self.target) / len(self.labels)
        return value, np.vstack([self.x.T @ dy + l2 * w[:-1], dy.sum(0)])

    def log_probabilities(self, x: Any) -> Any:
        """(N, C)"""
        x = x if self.basis is None else x @ self.basis
        return log_softmax(x @ self.w[:-1] + self.w[-1])


def log_softmax(y: Any) -> Any:
    y = y - y.max(1, keepdims=True)
    return y - np.log(np.exp(y).sum(1, keepdims=True))


def minimum(f: Any, w: Any) -> Any:
    """Where f(w) = (value, gradient) is least: L-BFGS with steps halved until they help enough.

    Nocedal & Wright, Numerical Optimization, 2006, algorithms 7.4 and 3.1.
    """
    value, g = f(w)
    steps: list[tuple[Any, Any, float]] = []  # s, y, 1 / s'y
    for _ in range(MOST):
        if np.abs(g).max() < SMALL:
            break
        d = -direction(g, steps)
        slope, length = float((g * d).sum()), 1.0 if steps else min(1.0, 1 / float(np.abs(g).sum()))
        while True:
            new = w + length * d
            after, dg = f(new)
            if after <= value + 1e-4 * length * slope:
                break
            length /= 2
            if length < 1e-12:  # as near as floating point goes
                return w
        s, y = new - w, dg - g
        curve = float((s * y).sum())
        if curve > 1e-12:
            steps = [*steps[1 - MEMORY :], (s, y, 1 / curve)]
        w, value, g = new, after, dg
    return w


def direction(g: Any, steps: list[tuple[Any, Any, float]]) -> Any:
    """The gradient times an estimate of the inverse curvature, from the last steps."""
    q, parts = g.copy(), []
    for s, y, rho in reversed(steps):
        a = rho * float((s * q).sum())
        q -= a * y
        parts.append(a)
    if steps:
        s, y, rho = steps[-1]
        q /= rho * float((y * y).sum())
    for (s, y, rho), a in zip(steps, reversed(parts)):
        q += (a - rho * float((y * q).sum())) * s
    return q
