"""Distinct histories: equal training rows looked at once, how many users have each, and what delivering it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.budget import resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.distinct import distinct
from worker.kinds.interactions.forms import arrays, bytes_of_rows, index_bytes, plain_bytes
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary


@dataclass(frozen=True)
class Histories:
    """`rows`: the distinct training rows (d, I), each with the number of users (d,) who have it as its weight.
    `users`: the first of those users, by index (d,). `source`: all training rows.
    """

    rows: UserRows
    users: np.ndarray
    source: UserRows

    @classmethod
    def of(cls, data: Interactions) -> Histories:
        """The distinct training rows of a dataset, in the order of their first users. O(events)."""
        source = data.training()
        first, pattern = distinct(source.matrix)
        counts = np.bincount(pattern, source.mass, len(first)).astype(np.float32)
        users = np.flatnonzero(np.diff(data.train.indptr))[first]
        return cls(UserRows(source.take(first).matrix, counts), users, source)

    @property
    def lengths(self) -> np.ndarray:
        """Events of each (d,)."""
        return np.diff(self.rows.matrix.indptr)

    @property
    def prices(self) -> np.ndarray:
        """Bytes that delivering each takes as a weighted row (d,)."""
        return 5 + index_bytes(self.rows.items) * self.lengths

    def by_frequency(self) -> np.ndarray:
        """All of them (d,), the most frequent first; of equals the longer, then that of the earlier user."""
        return np.lexsort((self.users, -self.lengths, -self.rows.mass))

    def first_within(self, order: np.ndarray, budget: int | str) -> np.ndarray:
        """The histories (m,) that come first in an order (d,) and fit in a budget: rows, or bytes, a share being one
        of the source's bytes.

        Raises `JobError` `budget_too_small` or `budget_too_large`.
        """
        size = resolve_bytes(budget, total_bytes=self.source_bytes, lowest=self.fixed_bytes + int(self.prices.min()))
        if size is None:
            return order[: resolve(budget, total_units=len(self.rows) + 1, bytes_per_unit=1.0)]
        return order[: np.searchsorted(np.cumsum(self.prices[order]), size - self.fixed_bytes, side="right")]

    @property
    def source_bytes(self) -> int:
        """Bytes of all training rows as they would be delivered."""
        return bytes_of_rows(self.source)

    @property
    def fixed_bytes(self) -> int:
        """Bytes of a weighted summary without rows."""
        return plain_bytes(arrays(self.rows.take(np.arange(0)), "weighted"))

    def summary(
        self,
        data: Interactions,
        chosen: np.ndarray,
        weights: np.ndarray,
        method: str,
        settings: Mapping[str, Any],
        ctx: Context,
        optimised_for: str = "",
    ) -> InteractionsSummary:
        """The chosen histories (m,) with these weights (m,) as a summary; each goes by the name of its first user."""
        order = np.argsort(chosen)
        chosen, weights = chosen[order], weights[order]
        return InteractionsSummary.of_users(
            UserRows(self.rows.take(chosen).matrix, weights.astype(np.float32)),
            data.item_ids,
            origin=Origin(method, optimised_for=optimised_for, settings=settings),
            row_ids=data.user_ids[self.users[chosen]],
            warnings=tuple(ctx.warnings),
        )
