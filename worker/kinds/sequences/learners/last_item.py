"""Last item: whoever did something does it again; behind it the popular items. A floor."""

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
class LastItem:
    """Shares of events of each item, float64 (V,)."""

    shares: np.ndarray

    def fit(self, settings: Settings, ctx: Context) -> LastItem:
        """There is nothing to train."""
        return self

    def scores(self, contexts: Rows) -> np.ndarray:
        """1 for the last item of each context, below it the shares: (q, V) float32."""
        found = np.tile(self.shares.astype(np.float32), (len(contexts), 1))
        found[np.arange(len(contexts)), contexts.items[contexts.indptr[1:] - 1]] += 1
        return found


@learner(
    kind="sequences", name="last-item", label="last item", floor=True, note="the last item again, then the popular"
)
def last_item(data: TrainingSet, params: Any, ctx: Context) -> LastItem:
    """The last item of the context, then items by how often they occur."""
    ctx.progress(0, 1)
    found = counts(data)
    return LastItem(found / max(found.sum(), 1e-12))
