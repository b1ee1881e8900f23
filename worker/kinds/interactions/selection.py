"""What all selections of real rows share: how a budget counts for them, and the summary they end in."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.export import size_bytes, sorted_rows
from worker.kinds.interactions.summary import InteractionsSummary
from worker.contract.budget import resolve
from worker.contract.context import Context


def users_in_budget(data: Interactions, budget: int | str) -> int:
    """A budget as a number of users with training events; bytes count the average row as 0/1 CSR."""
    lengths = np.diff(data.train.indptr)
    users = int(np.count_nonzero(lengths))
    index = 2 if data.n_items <= 1 << 16 else 4
    return resolve(budget, total_units=users, bytes_per_unit=4 + index * data.train.nnz / max(1, users))


def summary_of_rows(
    data: Interactions, rows: sparse.csr_array, users: np.ndarray, settings: dict[str, Any], ctx: Context
) -> InteractionsSummary:
    """A summary of 0/1 rows (n, I) that are all or part of the rows of the users (n,) with these indices."""
    rows = sorted_rows(rows)
    rows.data = np.ones_like(rows.data)
    counted = {
        "rows": int(rows.shape[0]),
        "events": int(rows.nnz),
        "kept_share_of_events": rows.nnz / max(1, data.train.nnz),
        "bytes": {"hard": size_bytes(rows, "hard")},
    }
    return InteractionsSummary(
        rows,
        rows,
        data.item_ids,
        "hard",
        settings=settings | counted,
        real_rows=True,
        row_ids=data.user_ids[users],
        warnings=tuple(ctx.warnings),
    )


def summary_of_users(
    data: Interactions, users: np.ndarray, settings: dict[str, Any], ctx: Context
) -> InteractionsSummary:
    """A summary of the whole training rows of the users (n,) with these indices."""
    return summary_of_rows(data, sparse.csr_array(data.train[users]), users, settings, ctx)
