"""The cosine of a document to the centroid of each label's training documents: nothing learnt, rare labels kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.labels.dataset import Csr, LabelSet, csr
from worker.kinds.labels.ranking import top_of
from worker.kinds.labels.vectors import Vectoriser, centroids


@dataclass(frozen=True)
class Centroids:
    """`directions`: csr (v, L), columns of length 1; labels without training documents have none and score 0."""

    vectoriser: Vectoriser
    directions: Csr

    def fit(self, settings: Settings, ctx: Context) -> Centroids:
        """Nothing to choose."""
        return self

    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The labels of the largest cosines."""
        vectors = self.vectoriser.transform(documents)
        return top_of(documents, k, lambda batch: (vectors[batch] @ self.directions).toarray())


@learner(kind="labels", name="centroid", label="label centroids")
def centroid(training: LabelSet, params: Any, ctx: Context) -> Centroids:
    """Vectors are fitted to the training set alone."""
    vectoriser, vectors = Vectoriser.fit(training, ctx)
    return Centroids(vectoriser, csr(centroids(training.targets, vectors, training.weights).T))
