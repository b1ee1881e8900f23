"""Markov: what most often came right after the last item; behind that the popular items. The floor of order one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.sequences.counting import counts, transitions
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.rows import Rows


@dataclass(frozen=True)
class Markov:
    """`next`: CSR float64 (V, V), expected transitions; `shares`: float64 (V,), of all events."""

    next: sparse.csr_array
    shares: np.ndarray

    def fit(self, settings: Settings, ctx: Context) -> Markov:
        """There is nothing to train."""
        return self

    def scores(self, contexts: Rows) -> np.ndarray:
        """How often each item followed the last one, ties by popularity: (q, V) float64."""
        return self.next[contexts.items[contexts.indptr[1:] - 1]].toarray() + 1e-6 * self.shares


@learner(kind="sequences", name="markov", label="Markov (order 1)", floor=True, note="what most often came right after")
def markov(data: TrainingSet, params: Any, ctx: Context) -> Markov:
    """Items by how often they follow the last one."""
    found = counts(data)
    return Markov(transitions(data, ctx), found / max(found.sum(), 1e-12))
