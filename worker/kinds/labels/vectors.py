"""Documents as vectors that cheap methods and learners compare: what was uploaded, or tf-idf of the words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from worker.contract.context import Context
from worker.kinds.labels.dataset import Csr, LabelSet, csr

DIMENSION = 64
_TICK = 4096
WORD = r"[a-z0-9]+(?:'[a-z]+)?"


@dataclass(frozen=True)
class Vectoriser:
    """From documents to rows of length 1. `words`: what was fitted to the words of a training set; None where the
    features of the upload are taken, which need nothing fitted."""

    words: Any = None

    @classmethod
    def fit(cls, training: LabelSet, ctx: Context) -> tuple[Vectoriser, Csr]:
        """Fitted to the training set alone, and the vectors of its documents. Inverse document frequencies of words are
        ln((1 + N) / (1 + df)) + 1."""
        ctx.progress(0, 1, phase="vectors")
        if training.features is not None:
            return cls(), cls().transform(training)
        words: Any = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True)
        try:
            return cls(words), csr(words.fit_transform(_watched(texts_of(training), ctx)))
        except ValueError:  # nothing in it is a word
            return cls(), cls().transform(training)

    def transform(self, documents: LabelSet) -> Csr:
        """csr float32 (n, v), rows of length 1, or 0 where nothing is known of a document."""
        if documents.features is not None:
            return csr(normalize(documents.features))
        if self.words is None:
            return csr(sparse.csr_matrix((len(documents), 1), dtype=np.float32))
        return csr(self.words.transform(texts_of(documents)))


def _watched(texts: Iterator[str], ctx: Context) -> Iterator[str]:
    """The texts, with a look now and then at whether to stop."""
    for number, text in enumerate(texts):
        if number % _TICK == 0:
            ctx.progress(0, 1, phase="vectors")
        yield text


def texts_of(documents: LabelSet) -> Iterator[str]:
    """Title and body of each document in one."""
    titles, bodies = documents.titles, documents.bodies
    if titles is None or bodies is None:
        yield from titles or bodies or ()
        return
    for title, body in zip(titles, bodies, strict=True):
        yield f"{title} {body}"


def dense(vectors: Csr, seed: int) -> np.ndarray:
    """Documents in the main directions of their vectors, float32 (n, at most 64), rows of length 1 or 0: what cheap
    methods compare all documents in. Randomised singular value decomposition (Halko et al. 2011)."""
    vectors = vectors[:, np.unique(vectors.indices)]
    wanted = min(DIMENSION, min(vectors.shape) - 1)
    if wanted < 2:
        return np.asarray(vectors.toarray(), np.float32)
    found = TruncatedSVD(wanted, n_iter=4, random_state=seed % 2**31).fit_transform(vectors)
    return np.asarray(normalize(found), np.float32)


def centroids(targets: Csr, vectors: Csr, weights: np.ndarray) -> Csr:
    """The direction of the weighted sum of each label's documents: csr float32 (L, v), rows of length 1 or 0."""
    return csr(normalize(targets.T @ sparse.diags(weights.astype(np.float32)) @ vectors))
