"""Whether events that learners are to be trained on are those that a dataset asks its users for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import TEST, VALIDATION


def held_out_events(
    data: Interactions, users: np.ndarray, item: np.ndarray, parts: Sequence[int] = (VALIDATION, TEST)
) -> np.ndarray:
    """Which events are held out by `data` in one of `parts`, bool (e,).

    `users`: text (e,), matched by id; `item`: columns of `data` (e,), -1 where it has no such item.
    """
    number = {name: row for row, name in enumerate(data.user_ids.tolist())}
    names, owner = np.unique(users, return_inverse=True)
    rows = np.array([number.get(name, -1) for name in names.tolist()], dtype=np.int64)[owner]
    asked = np.isin(data.events.split, parts)
    pairs = data.events.user[asked].astype(np.int64) * data.n_items + data.events.item[asked]
    return (rows >= 0) & (item >= 0) & np.isin(rows * data.n_items + item, pairs)
