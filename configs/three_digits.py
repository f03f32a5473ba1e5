"""Three of the digits that come with dltrain side by side, 8 x 24: for lenet_sliding.yaml."""

from typing import Any

import numpy as np

from dltrain.data.digits import Digits

TRAIN = 1000  # samples of training digits; those after them are of test digits

digits = Digits()
digits.open()


def sample(seed: int, index: int) -> dict[str, Any]:
    """label   1 x 3, the digits from left to right"""
    rows = digits.splits["train" if index < TRAIN else "test"]
    three = rows[np.random.default_rng((seed, index)).integers(len(rows), size=3)]
    image, label = digits.arrays["data"][three], digits.arrays["label"][three]
    return {"data": np.concatenate(list(image), axis=2), "label": label[None].astype(int)}
