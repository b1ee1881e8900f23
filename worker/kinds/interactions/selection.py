"""What all selections of real rows share: how a budget counts for them, and the summary they end in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from worker.contract.budget import resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import bytes_of_rows
from worker.kinds.interactions.picks import Queue
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary


def in_bytes(budget: int | str) -> bool:
    """Whether a budget is a size in bytes."""
    return isinstance(budget, str) and budget.strip().endswith("B")


def first_in_budget(data: Interactions, budget: int | str, order: np.ndarray) -> np.ndarray:
    """The users (n,) that come first in an order and fit in a budget: in bytes exactly as many as fit."""
    count = users_in_budget(data, budget)
    if in_bytes(budget):
        queue = Queue(UserRows(data.train, data.weights), order, "hard" if data.weights is None else "weighted")
        count = queue.fitting(resolve_bytes(budget, total_bytes=bytes_of_rows(data.training())) or 0)
    return order[:count]


def users_in_budget(data: Interactions, budget: int | str) -> int:
    """A budget as a number of users with training events; bytes count the average row as 0/1 CSR."""
    lengths = np.diff(data.train.indptr)
    users = int(np.count_nonzero(lengths))
    index = 2 if data.n_items <= 1 << 16 else 4
    return resolve(budget, total_units=users, bytes_per_unit=4 + index * data.train.nnz / max(1, users))


def summary_of_rows(
    data: Interactions,
    rows: sparse.csr_array,
    users: np.ndarray,
    method: str,
    settings: Mapping[str, Any],
    ctx: Context,
) -> InteractionsSummary:
    """A summary of 0/1 rows (n, I) that are all or part of the rows of the users (n,) with these indices."""
    return InteractionsSummary.of_users(
        UserRows(rows, None if data.weights is None else data.weights[users]),
        data.item_ids,
        origin=Origin(method, settings=settings),
        row_ids=data.user_ids[users],
        warnings=tuple(ctx.warnings),
    )


def summary_of_users(
    data: Interactions, users: np.ndarray, method: str, settings: Mapping[str, Any], ctx: Context
) -> InteractionsSummary:
    """A summary of the whole training rows of the users (n,) with these indices."""
    return summary_of_rows(data, sparse.csr_array(data.train[users]), users, method, settings, ctx)
