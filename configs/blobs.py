"""Pictures of 32 x 32, most with one striped or chequered disc among noise: for cam.yaml and multi_head.yaml."""

from typing import Any

import numpy as np


def sample(seed: int, index: int) -> dict[str, Any]:
    """label   0 rows, 1 columns, 2 a chequer, 3 nothing but noise
    place   row and column of the middle, 0 .. 1, known of two discs in three
    size    0 the smallest, 1 the largest, known of every other disc
    disc    1 where it is
    """
    rng = np.random.default_rng((seed, index))
    label, radius = int(rng.integers(4)), float(rng.uniform(4, 7))
    row, column = rng.uniform(radius, 32 - radius, 2)
    y, x = np.indices((32, 32))
    rows, columns = y // 2 % 2 == 1, x // 2 % 2 == 1
    pattern = (rows, columns, rows ^ columns, rows)[label]
    disc = ((y - row) ** 2 + (x - column) ** 2 <= radius**2) & (label < 3)
    image = rng.normal(0, 0.3, (32, 32)) + np.where(disc, np.where(pattern, 1.0, 0.3), 0.0)
    known = np.float32(label < 3 and index % 3 > 0), np.float32(label < 3 and index % 2 > 0)
    return {
        "data": image[None].astype(np.float32),
        "label": label,
        "place": known[0] * np.array([row, column], np.float32) / 32,
        "place.present": known[0],
        "size": known[1] * np.float32((radius - 4) / 3),
        "size.present": known[1],
        "disc": disc[None].astype(np.float32),
    }
