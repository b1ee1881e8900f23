"""Popularity: the same list for everyone. The floor that every learner has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.rows import UserRows


@dataclass(frozen=True)
class Popularity:
    """Ranks items by how many events they have, rows counted as often as they weigh; fractions count as such."""

    rows: UserRows

    def fit(self, settings: Settings, ctx: Context) -> PopularityModel:
        """Count the events of each item."""
        return PopularityModel(self.rows.counts.astype(np.float32))


@dataclass(frozen=True)
class PopularityModel:
    """Event counts (I,) float32."""

    counts: np.ndarray

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """The counts, once for each row of inputs: (q, I) float32."""
        return np.tile(self.counts, (inputs.shape[0], 1))


@learner(kind="interactions", name="popularity", label="popularity", floor=True, note="the same list for everyone")
def popularity(rows: UserRows, params: Any, ctx: Context) -> Popularity:
    """Items by their weighted number of events in rows (n, I)."""
    return Popularity(rows)
