"""The floor: the most frequent labels of the training set, whatever the document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.labels.dataset import LabelSet
from worker.kinds.labels.ranking import top_k


@dataclass(frozen=True)
class MostFrequent:
    """`counts`: float64 (L,), the weight of the training documents of each label."""

    counts: np.ndarray

    def fit(self, settings: Settings, ctx: Context) -> MostFrequent:
        """Nothing to choose."""
        return self

    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The same labels for every document."""
        scores = np.where(documents.candidates, self.counts, -np.inf).astype(np.float32)
        labels, best = top_k(scores[None], k)
        return np.repeat(labels, len(documents), axis=0), np.repeat(best, len(documents), axis=0)


@learner(kind="labels", name="most-frequent", label="most frequent labels", floor=True)
def most_frequent(training: LabelSet, params: Any, ctx: Context) -> MostFrequent:
    """Counts labels by the weights of their documents."""
    return MostFrequent(training.targets.T @ training.weights)
