"""Popularity: the same list after every context. The floor that every learner has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.sequences.counting import counts
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.rows import Rows


@dataclass(frozen=True)
class Popularity:
    """Expected numbers of events of each item, float64 (V,)."""

    counts: np.ndarray

    def fit(self, settings: Settings, ctx: Context) -> Popularity:
        """There is nothing to train."""
        return self

    def scores(self, contexts: Rows) -> np.ndarray:
        """The counts, once for each context: (q, V) float32."""
        return np.tile(self.counts.astype(np.float32), (len(contexts), 1))

    def surprise(self, rows: Rows) -> np.ndarray:
        """-log probability (n,) of each row's events but the first; every item has half an event more than was seen."""
        logs = -np.log((self.counts + 0.5) / (self.counts + 0.5).sum())
        kept = np.ones(len(rows.items), bool)
        kept[rows.indptr[:-1][rows.lengths > 0]] = False
        return np.bincount(rows.owners()[kept], logs[rows.items[kept]], minlength=len(rows))


@learner(kind="sequences", name="popularity", label="popularity", floor=True, note="the same list after every context")
def popularity(data: TrainingSet, params: Any, ctx: Context) -> Popularity:
    """Items by how often they are read or to be predicted."""
    ctx.progress(0, 1)
    return Popularity(counts(data))
