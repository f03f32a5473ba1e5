"""MeanIoU: by hand, over all places of a test, without classes that are nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.mean_iou import MeanIoU
from dltrain.tensor import Shape

SAID, LABEL = np.array([[0, 0, 1, 1], [1, 1, 0, 2]]), np.array([[0, 1, 1, 1], [0, 1, 0, 0]])


def scores(said: Any) -> Any:
    return np.eye(4)[said].transpose(0, 2, 1)


def test_by_hand(run: Any) -> None:
    """Class 0: 2 of 5; class 1: 3 of 5; class 2: 0 of 1; class 3 is nowhere."""
    made = run(MeanIoU(), scores(SAID), LABEL)
    assert made.y[0] == pytest.approx((2 / 5 + 3 / 5 + 0) / 3)
    assert made.sums == [2, 3, 4, 3, 4, 4, 0, 1, 0, 0, 0, 0]


def test_the_score_of_several_images_is_that_of_their_places(run: Any) -> None:
    parts = [np.array(run(MeanIoU(), scores(SAID[[n]]), LABEL[[n]]).sums) for n in (0, 1)]
    assert MeanIoU.score(parts[0] + parts[1]) == pytest.approx(1 / 3)
    assert MeanIoU.score(parts[0]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert MeanIoU.score([0.0] * 6) == 0.0


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    made = run(MeanIoU(ignore_label=255), scores(SAID), np.where(SAID == 2, 255, LABEL))
    assert made.y[0] == pytest.approx((2 / 4 + 3 / 5) / 2)
    again = run(MeanIoU(), scores(SAID), LABEL, np.array([2.0, 1]))
    assert again.sums == [3, 5, 5, 5, 6, 7, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("axis", [2, -1])
def test_another_axis(axis: int, run: Any) -> None:
    assert run(MeanIoU(axis=axis), np.moveaxis(scores(SAID), 1, axis), LABEL).y[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ({}, [(4, 3), (4,)], "bottom", "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ({}, [Shape((4, 3), "index"), Shape((4,), "index")], "bottom", "needs real numbers, not the integers of 4 x 3"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(MeanIoU(**keys), shapes, key, words)
