"""Made-up interactions with a realistic power law: few heavy users, few popular items, tastes, fashions, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import clean

YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class World:
    """What a dataset is drawn from.

    `mean_events` a user before equal pairs are merged, log-normal with `spread`; items of each taste by Zipf with
    exponent `zipf`; a share `taste` of a user's events is of its own taste (one of `tastes`), the others of the common
    list; items come into fashion one after the other, the more so the higher `drift` in [0, 1].
    """

    users: int
    items: int
    mean_events: float
    spread: float = 1.0
    zipf: float = 0.8
    tastes: int = 12
    taste: float = 0.7
    drift: float = 0.0

    def columns(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """user int32, item int32, timestamp int64 of distinct pairs (N,), sorted by user, then item. O(N log I)."""
        rng = np.random.default_rng(seed)
        raw = rng.lognormal(0.0, self.spread, self.users)
        sizes = np.minimum(np.maximum(3, raw * self.mean_events / raw.mean()), self.items // 2).astype(np.int64)
        user = np.repeat(np.arange(self.users, dtype=np.int32), sizes)
        when = rng.random(len(user), np.float32)
        own = rng.integers(0, self.tastes, self.users, dtype=np.int32)[user]
        own[rng.random(len(user), np.float32) >= self.taste] = self.tastes  # the common list
        item = np.empty(len(user), np.int32)
        for taste in range(self.tastes + 1):
            mine = np.flatnonzero(own == taste)
            listed = rng.permutation(np.arange(taste, self.items, self.tastes) if taste < self.tastes else self.items)
            weights = np.cumsum(1.0 / np.arange(1, len(listed) + 1) ** self.zipf)
            rank = np.searchsorted(weights, rng.random(len(mine)) * weights[-1])
            # In fashion: what is popular at a time is the list turned by how much of the time has passed.
            turned = rank + (when[mine] * self.drift * len(listed)).astype(np.int64)
            item[mine] = listed[turned % len(listed)]
        key = user.astype(np.int64) * self.items + item
        _, first = np.unique(key, return_index=True)
        return user[first], item[first], (YEAR * when[first].astype(np.float64)).astype(np.int64)

    def interactions(self, seed: int = 0) -> Interactions:
        """A dataset with the split `clean`."""
        user, item, when = self.columns(seed)
        return Interactions.from_columns(
            user,
            item,
            clean(user, seed=seed),
            user_ids=np.arange(self.users).astype(str),
            item_ids=np.arange(self.items).astype(str),
            timestamp=when,
        )
