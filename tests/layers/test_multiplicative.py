"""Multiplicative: every element of one blob times every element of the other, weighted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.multiplicative import Multiplicative
from dltrain.testing import check_layer


def test_by_hand(run: Any) -> None:
    params = {"weight": np.array([[1.0, 2, 3, 4], [0, 1, 0, -1]]), "bias": np.array([10.0, 20])}
    made = run(Multiplicative(num_output=2), np.array([[2.0, 3]]), np.array([[5.0, 7]]), params=params, dy=[[1, 10]])
    np.testing.assert_array_equal(made.y, [[10 + 10 + 28 + 45 + 84, 20 + 14 - 21]])  # pairs: 10 14 15 21
    np.testing.assert_array_equal(made.dxs[0], [[5 + 14 + 70, 15 + 28 - 70]])
    np.testing.assert_array_equal(made.dxs[1], [[2 + 9, 4 + 12 + 20 - 30]])
    np.testing.assert_array_equal(made.grads["weight"], [[10, 14, 15, 21], [100, 140, 150, 210]])
    np.testing.assert_array_equal(made.grads["bias"], [1, 10])


def test_it_is_the_sum_over_pairs(run: Any) -> None:
    rng = np.random.default_rng(0)
    x, z, w = rng.standard_normal((5, 3)), rng.standard_normal((5, 4)), rng.standard_normal((2, 3, 4))
    made = run(Multiplicative(num_output=2, bias_term=False), x, z, params={"weight": w.reshape(2, 12)})
    np.testing.assert_allclose(made.y, np.einsum("kij,ni,nj->nk", w, x, z), rtol=1e-12)


@pytest.mark.parametrize("shapes", [[(3, 2), (3, 4)], [(2, 2, 2), (2, 3)], [(1, 1), (1, 1)], [(4,), (4,)]])
@pytest.mark.parametrize("bias_term", [True, False])
def test_sits_the_exam(shapes: Any, bias_term: bool) -> None:
    check_layer(Multiplicative(num_output=3, bias_term=bias_term), *shapes)


def test_refuses_different_numbers_of_samples(refuses: Any) -> None:
    refuses(Multiplicative(num_output=2), [(2, 3), (3, 3)], "bottom", "2 x 3 and 3 x 3 differ in the number of samples")
