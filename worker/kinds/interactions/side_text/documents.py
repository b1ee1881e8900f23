"""Reviews as vectors, and what users and items have said and heard, never with the review of the pair in question.

Leak rule: what a model reads about a pair holds training reviews only, and for a training pair not the pair's own one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from worker.kinds.interactions.side_text.reviews import Part, Reviews

WIDTH = 64
_WORDS = 50_000


@dataclass(frozen=True)
class Documents:
    """`vectors`: of every training review (e,), float64 (e, d); a review without text is 0 and counts as none:
    `there` (e,) bool."""

    vectors: np.ndarray
    there: np.ndarray

    @classmethod
    def of(cls, texts: np.ndarray, seed: int) -> Documents:
        """TF-IDF of words in at least two reviews, reduced to 64 numbers by a truncated singular value decomposition,
        each review scaled to norm 1."""
        there = np.array([bool(text.strip()) for text in texts])
        empty = cls(np.zeros((len(texts), 1)), np.zeros(len(texts), bool))
        least = 2 if there.sum() > 1 else 1
        try:
            table = TfidfVectorizer(
                sublinear_tf=True, min_df=least, max_features=_WORDS, dtype=np.float32
            ).fit_transform(texts.tolist())
        except ValueError:  # no word is there
            return empty
        width = min(WIDTH, min(table.shape) - 1)
        if width < 1:
            vectors = table.toarray().astype(np.float64)
        else:
            vectors = TruncatedSVD(width, random_state=seed % 2**32).fit_transform(table).astype(np.float64)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(vectors / np.where(norms > 0, norms, 1), there & (norms[:, 0] > 0))

    def shuffled(self, rng: np.random.Generator) -> Documents:
        """The same texts, each at another review."""
        order = rng.permutation(len(self.vectors))
        return Documents(self.vectors[order], self.there[order])

    def masked(self, keep: float, rng: np.random.Generator) -> Documents:
        """A share of the texts, the others empty."""
        kept = rng.permutation(len(self.vectors)) < round(keep * len(self.vectors))
        return replace(self, vectors=self.vectors * kept[:, None], there=self.there & kept)


def means(
    documents: Documents, owner: np.ndarray, owners: int, asked: np.ndarray, own: np.ndarray | None
) -> np.ndarray:
    """Mean vector (q, d) of the reviews of each asked owner (q,), 0 where there is none.

    `owner` (e,): whose each training review is; `own` (q,): number of the review to leave out of each mean, None where
    no asked pair has a training review.
    """
    sums = np.zeros((owners, documents.vectors.shape[1]))
    np.add.at(sums, owner, documents.vectors)
    counts = np.bincount(owner, documents.there, owners)
    total, count = sums[asked], counts[asked]
    if own is not None:
        total, count = total - documents.vectors[own], count - documents.there[own]
    return total / np.maximum(count, 1)[:, None] * (count > 0)[:, None]


def features(reviews: Reviews, documents: Documents, part: Part) -> np.ndarray:
    """What is read about each pair of a part (q, 3 d): the user's mean, the item's mean, and their product."""
    own = np.arange(len(part)) if part is reviews.train else None
    by_user = means(documents, reviews.train.user, reviews.users, part.user, own)
    by_item = means(documents, reviews.train.item, reviews.items, part.item, own)
    return np.hstack([by_user, by_item, by_user * by_item])
