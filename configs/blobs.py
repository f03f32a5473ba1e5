"""Pictures of 32 x 32 with one striped or chequered disc among noise: for cam.yaml and multi_head.yaml."""

from typing import Any

import numpy as np


def sample(seed: int, index: int) -> dict[str, Any]:
    """label   0 rows, 1 columns, 2 a chequer
    place   row and column of the middle, 0 .. 1, known of two samples in three; size   the radius, 0 .. 1, known of every other
    """
    rng = np.random.default_rng((seed, index))
    label, radius = int(rng.integers(3)), float(rng.uniform(4, 7))
    row, column = rng.uniform(radius, 32 - radius, 2)
    y, x = np.indices((32, 32))
    rows, columns = (y // 2 % 2).astype(bool), (x // 2 % 2).astype(bool)
    pattern = (rows, columns, rows ^ columns)[label]
    disc = (y - row) ** 2 + (x - column) ** 2 <= radius**2
    image = rng.normal(0, 0.3, (32, 32)) + np.where(disc, np.where(pattern, 1.0, 0.3), 0.0)
    known = np.float32(index % 3 > 0), np.float32(index % 2)
    return {
        "data": image[None].astype(np.float32),
        "label": label,
        "place": known[0] * np.array([row, column], np.float32) / 32,
        "place.present": known[0],
        "size": known[1] * np.float32(radius / 32),
        "size.present": known[1],
        "disc": disc[None].astype(np.float32),
    }
