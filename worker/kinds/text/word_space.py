"""A space of documents, learned from a training text without labels: latent semantic analysis of hashed words.

Words and pairs of neighbours, hashed into 2^12 columns, tf-idf with the idf of the training text, the 64 strongest
directions of its singular value decomposition, rows to length 1. Deerwester et al., "Indexing by latent semantic
analysis" (JASIS, 1990). What the training text never speaks of has no direction here: that is what a selection loses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import extmath

from worker.kinds.text.training_text import Documents

COLUMNS, DIRECTIONS = 1 << 12, 64


@dataclass(frozen=True)
class WordSpace:
    """`idf` float64 (COLUMNS,), `directions` float64 (COLUMNS, d)."""

    idf: np.ndarray
    directions: np.ndarray

    def __call__(self, documents: Documents) -> np.ndarray:
        """Where documents lie, float64 (n, d)."""
        found = _weighted(counts(documents), self.idf) @ self.directions
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def learn(documents: Documents, seed: int) -> WordSpace:
    """The space of a training text."""
    counted = counts(documents)
    rows = counted.shape[0]
    idf = np.log((1 + rows) / (1 + np.bincount(counted.indices, minlength=COLUMNS))) + 1
    svd: Any = extmath.randomized_svd
    _, _, directions = svd(
        _weighted(counted, idf),
        min(DIRECTIONS, rows),
        n_iter=3,
        power_iteration_normalizer="QR",
        random_state=seed % 2**32,
    )
    return WordSpace(idf, directions.T)


_COUNTED: WeakKeyDictionary[Documents, Any] = WeakKeyDictionary()


def counts(documents: Documents) -> Any:
    """How often each hashed word stands in each document, csr float64 (n, COLUMNS): counted once, since every model is
    asked about the same documents."""
    if documents not in _COUNTED:
        vectorizer: Any = HashingVectorizer
        hashing = vectorizer(ngram_range=(1, 2), n_features=COLUMNS, alternate_sign=False, norm=None)
        _COUNTED[documents] = hashing.transform(documents.text(number) for number in range(len(documents)))
    return _COUNTED[documents]


def _weighted(counted: Any, idf: np.ndarray) -> Any:
    found = counted.copy()
    found.data = (1 + np.log(found.data)) * idf[found.indices]
    return found
