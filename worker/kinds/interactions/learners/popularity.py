"""Popularity: the same list for everyone. The floor that every learner has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Popularity:
    """Ranks items by how many events they have in the rows it was fitted on."""

    name: ClassVar[str] = "popularity"

    def fit(self, rows: sparse.csr_array) -> PopularityModel:
        """Count the events (fractions count as such) of each item in rows (n, I)."""
        return PopularityModel(np.asarray(rows.sum(axis=0), np.float32).ravel())


@dataclass(frozen=True)
class PopularityModel:
    """Event counts (I,) float32."""

    counts: np.ndarray

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """The counts, once for each row of inputs: (q, I) float32."""
        return np.tile(self.counts, (inputs.shape[0], 1))
