from __future__ import annotations

import numpy as np

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import clean


def two_tastes(users: int = 160, seed: int = 0) -> Interactions:
    """Half of the users like the lower half of 30 items, the others the upper half."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, 2, users)
    liked = rng.random((users, 30)) < np.where(np.arange(30) // 15 == taste[:, None], 0.55, 0.03)
    user, item = np.nonzero(liked)
    return Interactions.from_columns(user, item, clean(user, seed=seed))
