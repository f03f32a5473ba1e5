"""Gram: products of channels with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.gram import Gram
from dltrain.testing import check_layer


@pytest.mark.parametrize(("normalize", "divisor"), [(True, 6), (False, 1)])
def test_by_hand(normalize: bool, divisor: int, run: Any) -> None:
    made = run(Gram(normalize=normalize), np.array([[[1.0, 2, 0], [3, -1, 1]]]), dy=[[[1, 2], [0, 0]]])
    np.testing.assert_allclose(made.y, np.array([[[5, 1], [1, 11]]]) / divisor, rtol=1e-15)
    np.testing.assert_allclose(made.dx, np.array([[[8, 2, 2], [2, 4, 0]]]) / divisor, rtol=1e-15)


def test_places_have_no_order(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    mixed = x.reshape(2, 3, 20)[:, :, np.random.default_rng(1).permutation(20)]
    np.testing.assert_allclose(run(Gram(), x).y, run(Gram(), mixed).y, rtol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 3, 2), (2, 1, 2, 1, 2)])
def test_sits_the_exam(shape: Any, normalize: bool) -> None:
    check_layer(Gram(normalize=normalize), shape)


def test_refuses_what_has_no_places(refuses: Any) -> None:
    refuses(Gram(), [(2, 3)], "", "needs a bottom with places behind the channels (N x C x H x W), not 2 x 3")
