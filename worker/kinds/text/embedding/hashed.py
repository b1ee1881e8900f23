"""The embedder that needs no model: hashed words and pieces of words, tf-idf, and their main directions (LSA).

`x = l2((1 + ln tf) idf)` over 2^16 buckets, `idf = ln((1 + N) / (1 + df)) + 1`; then the d right singular vectors of
these rows of which most is explained, by block power iteration (Halko, Martinsson and Tropp, SIAM Review 2011,
algorithm 4.4), and `l2(x V)`.

The corpus is passed over a few times and never held. Sums over documents are made of multiples of 2^-30, which float64
adds without rounding, so that neither the order of documents nor their division into shards changes a bit. Directions
are fitted on at most 32,768 documents, those with the smallest random numbers of their keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.ingest.arrow import Arrow
from worker.kinds.text.embedding.ngrams import Grams

GRAMS = Grams(1 << 16, words=1, piece=4)
FITTED_ON = 32_768  # documents
POWERS = 2
_OVERSAMPLED = 8
_FINE, _COARSE = 2.0**16, 2.0**14


def weighted(counts: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    """tf-idf rows of length 1 (float32) from counts; rows without features stay empty."""
    rows = counts.copy()
    rows.data = (1 + np.log(rows.data)) * idf[rows.indices]
    which = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    lengths = np.sqrt(np.bincount(which, np.square(rows.data, dtype=np.float64), rows.shape[0]))
    rows.data = (rows.data / lengths[which]).astype(np.float32)
    return rows


def idf_of(frequencies: np.ndarray, documents: int) -> np.ndarray:
    """ln((1 + N) / (1 + df)) + 1, float32."""
    return (np.log((1 + documents) / (1 + frequencies)) + 1).astype(np.float32)


def pushed(rows: sparse.csr_matrix, basis: np.ndarray) -> np.ndarray:
    """rows^T (rows basis), float64 (V, l), exact to add up: see the module."""
    fine = rows.astype(np.float64)
    fine.data = np.rint(fine.data * _FINE) / _FINE
    images = np.rint((fine @ basis) * _COARSE) / _COARSE
    return np.asarray(fine.T @ images)


def directions(
    push: Callable[[np.ndarray], np.ndarray], features: int, dimension: int, rng: np.random.Generator
) -> np.ndarray:
    """The right singular vectors float32 (V, d), d <= `dimension`, of the matrix X behind `push`: B -> X^T (X B)."""
    width = min(dimension + _OVERSAMPLED, features)
    basis = np.linalg.qr(rng.standard_normal((features, width)))[0]
    for _ in range(POWERS):
        image = push(basis)
        basis = np.linalg.qr(image)[0]
    values, vectors = np.linalg.eigh(basis.T @ push(basis))
    largest = np.argsort(-values)[:dimension]
    largest = largest[values[largest] > 1e-9 * values.max()]
    found = basis @ vectors[:, largest]
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    return (found * signs).astype(np.float32)


@dataclass(frozen=True)
class HashedTfIdfSvd:
    """A fitted embedder: `idf` float32 (V,), `basis` float32 (V, d). Picklable."""

    idf: np.ndarray
    basis: np.ndarray
    column: str = "text"

    @property
    def dimension(self) -> int:
        """d, which is below what was asked for where the documents span less."""
        return self.basis.shape[1]

    def __call__(self, texts: Arrow) -> np.ndarray:
        """Vectors float32 (n, d) of length 1, or 0 for a text without words."""
        found = np.asarray(weighted(GRAMS.count(texts), self.idf) @ self.basis)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(lengths > 1e-6, lengths, np.inf)
