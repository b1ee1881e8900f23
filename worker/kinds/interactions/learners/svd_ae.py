"""SVD-AE: a linear auto-encoder in closed form through a truncated singular value decomposition (arXiv:2405.04746).

With R~ = D_u^-1/2 R D_i^-1/2, degrees of users and items on the diagonals, and its best approximation U S V^T of a rank
k, the auto-encoder that maps R~ to R is B = V S^-1 U^T R, and the scores of a row q~, normalised alike, are q~ B. The
rank is the only setting (the paper takes 4 % of the items); one decomposition serves all ranks. A row of weight w
enters as w rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_range_finder

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.interactions.rows import UserRows

RANKS = (4, 8, 16, 32, 64, 128, 256)
_POWER_ITERATIONS = 7  # singular vectors to four digits or better on MovieLens-1M
_OVERSAMPLES = 10  # dimensions beyond the rank that steady the range
_EXACT = 2048  # rows or items up to which the Gram matrix of that side is decomposed instead


@dataclass(frozen=True)
class Decomposition:
    """What trainings at different ranks share: V S^-1 (I, k) and U^T W^1/2 R (k, I) at the largest rank, and how much
    an event counts by its item, D_i^-1/2 (I,)."""

    encode: np.ndarray
    decode: np.ndarray
    by_item: np.ndarray

    @classmethod
    def of(cls, rows: UserRows, seed: int = 0, most: int = RANKS[-1]) -> Decomposition:
        """Of rows (n, I), empty ones left out; of no rows the model that scores everything 0."""
        rows = rows.filled()
        by_item = _inverse_roots(rows.counts)
        root = sparse.diags_array(np.sqrt(rows.mass).astype(np.float32))
        plain = sparse.csr_array(root @ rows.matrix)
        normalised = sparse.csr_array(root @ _normalised(rows.matrix, by_item))
        u, s, vt = _truncated(normalised, min(most, *normalised.shape), seed)
        return cls((vt.T / s).astype(np.float32), np.asarray(u.T @ plain, np.float32), by_item)

    def fit(self, settings: Settings, ctx: Context) -> SVDAE:
        """The model of `rank` components, or of as many as there are."""
        rank = int(settings["rank"])
        return SVDAE(self.encode[:, :rank], self.decode[:rank], self.by_item)


def _truncated(rows: sparse.csr_array, most: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n, k), S (k,) and V^T (k, I) of at most `most` components; those that are noise in single precision are left
    out.

    They come from the eigenvectors of the Gram matrix of the smaller side in double precision, which exist for any
    sample, however few and equal its rows are, where a decomposition of the rows themselves may fail to converge. Where
    both sides are large, the rows are first projected on what a randomised range finder sees (Halko et al. 2011).
    """
    if most == 0:
        return np.zeros((rows.shape[0], 0)), np.zeros(0), np.zeros((0, rows.shape[1]))
    if min(rows.shape) <= _EXACT:
        by_item = rows.shape[1] < rows.shape[0]
        side = sparse.csr_array(rows.T if by_item else rows, dtype=np.float64)
        s, vectors = _eigen((side @ side.T).toarray(), most)
        others = (side.T @ vectors) / s
        return (others, s, vectors.T) if by_item else (vectors, s, others.T)
    basis = randomized_range_finder(
        rows,
        size=most + _OVERSAMPLES,
        n_iter=_POWER_ITERATIONS,
        power_iteration_normalizer="QR",
        random_state=seed % 2**32,
    )
    small = np.asarray((rows.T @ basis).T, np.float64)
    s, vectors = _eigen(small @ small.T, most)
    return basis @ vectors, s, (vectors.T @ small) / s[:, None]


def _eigen(square: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values (k,) and vectors (n, k) of what a Gram matrix (n, n) is of, the largest first."""
    largest = (max(0, len(square) - most), len(square) - 1)
    squares, vectors = linalg.eigh(square, subset_by_index=largest, driver="evr")
    s = np.sqrt(np.maximum(squares[::-1], 0))
    real = s > 1e-5 * max(s[0], 1e-12)
    return s[real], vectors[:, ::-1][:, real]


def _inverse_roots(degrees: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(degrees > 0, degrees**-0.5, 0.0).astype(np.float32)


def _normalised(rows: sparse.csr_array, by_item: np.ndarray) -> sparse.csr_array:
    by_user = _inverse_roots(np.asarray(rows.sum(axis=1), np.float64).ravel())
    return sparse.csr_array(sparse.diags_array(by_user) @ rows @ sparse.diags_array(by_item), dtype=np.float32)


@dataclass(frozen=True)
class SVDAE:
    """V S^-1 (I, k), U^T R (k, I) and D_i^-1/2 (I,), all float32."""

    encode: np.ndarray
    decode: np.ndarray
    by_item: np.ndarray

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """q~ B (q, I) float32 for rows of inputs (q, I)."""
        return np.asarray(_normalised(inputs, self.by_item) @ self.encode, np.float32) @ self.decode


@learner(
    kind="interactions", name="svd-ae", label="SVD-AE", usual=False, settings=tuple({"rank": rank} for rank in RANKS)
)
def svd_ae(rows: UserRows, params: Any, ctx: Context) -> Decomposition:
    """SVD-AE on rows (n, I), tuned over its rank."""
    return Decomposition.of(rows, ctx.seed)
