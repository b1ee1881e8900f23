"""Interactions with groups of users who like the same items, and summaries of them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.contract.product import Origin
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.splits import clean
from worker.kinds.interactions.summary import InteractionsSummary

GROUPS, USERS, ITEMS = 6, 360, 60


def planted(seed: int = 0, events: int = 9) -> Interactions:
    rng = np.random.default_rng(seed)
    own = ITEMS // GROUPS
    user, item = [], []
    for u in range(USERS):
        inside = (u % GROUPS) * own + rng.choice(own, min(events - 2, own), replace=False)
        outside = rng.choice(ITEMS, 2, replace=False)
        chosen = np.unique(np.concatenate((inside, outside)))
        user += [u] * len(chosen)
        item += chosen.tolist()
    users, items = np.array(user), np.array(item)
    return Interactions.from_columns(users, items, clean(users, seed=seed))


def one_row_a_group(data: Interactions, value: float = 1.0) -> InteractionsSummary:
    """Six ideal rows: everything a learner needs to know about the planted data."""
    rows = np.kron(np.eye(GROUPS), np.ones(ITEMS // GROUPS)).astype(np.float32) * value
    return InteractionsSummary(
        sparse.csr_array(rows),
        sparse.csr_array((rows > 0).astype(np.float32)),
        data.item_ids,
        "soft" if value < 1 else "hard",
        origin=Origin("distill-cf", optimised_for="infinite-ae"),
    )


def full_as_summary(data: Interactions) -> InteractionsSummary:
    users = np.flatnonzero(np.diff(data.train.indptr))
    return of_users(data, users)


def of_users(data: Interactions, users: np.ndarray) -> InteractionsSummary:
    """The exact training rows of these users."""
    rows = UserRows(data.train).take(users)
    return InteractionsSummary.of_users(
        rows, data.item_ids, origin=Origin("uploaded subset"), row_ids=data.user_ids[users]
    )
