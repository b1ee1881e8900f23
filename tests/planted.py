"""Interactions with a structure that can be learned: users of one taste, items of one taste, some noise."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def planted_csv(
    path: Path, *, users: int = 300, items: int = 60, tastes: int = 4, seed: int = 0, timed: bool = False
) -> Path:
    """Write a csv user_id,item_id in which a user prefers the items of its taste nine times out of ten.

    `timed`: with a column of times, the events in the order in which they were drawn.
    """
    rng = np.random.default_rng(seed)
    taste_of_item = np.arange(items) % tastes
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", *(["timestamp"] if timed else [])])
        when = 1_700_000_000
        for user in range(users):
            weights = np.where(taste_of_item == user % tastes, 9.0 * tastes, tastes / (tastes - 1)) * (
                1 + (np.arange(items) < 8)
            )
            chosen = rng.choice(items, size=int(rng.integers(8, 20)), replace=False, p=weights / weights.sum())
            for item in chosen:
                when += 60
                writer.writerow([f"u{user:04d}", f"i{item:03d}", *([when] if timed else [])])
    return path
