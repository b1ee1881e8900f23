"""Sequences as points: what k-centre and herding measure distances between.

A sequence is the mean of its items' vectors, scaled to length one; items' vectors are a truncated SVD of how often two
follow each other within a sequence, damped by the square root as in Hellinger PCA. The diagonal is left out: with it,
items without neighbours become components of their own and fill the top of the spectrum.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from worker.kinds.sequences.rows import Rows

DIM = 32
_AT_ONCE = 2_000_000  # events


def item_vectors(rows: Rows, items: int, *, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """Vectors float32 (V, dim) of items by who follows whom."""
    at = rows.followed()
    near = sparse.csr_array((items, items), dtype=np.float32)
    for start in range(0, len(at), _AT_ONCE):
        part = at[start : start + _AT_ONCE]
        before, after = rows.items[part], rows.items[part + 1]
        apart = before != after
        ones = np.ones(int(apart.sum()), np.float32)
        near = near + sparse.csr_array(sparse.coo_array((ones, (before[apart], after[apart])), shape=near.shape))
    near = sparse.csr_array(near + near.T)
    near.data = np.sqrt(near.data)
    rank = min(dim, items - 1)
    if not near.nnz or rank < 1:
        return np.zeros((items, dim), np.float32)
    left, values, _ = randomized_svd(near, rank, random_state=np.random.RandomState(seed % 2**32))
    found = np.zeros((items, dim), np.float32)
    found[:, :rank] = left * np.sqrt(values)
    return found


def sequence_vectors(rows: Rows, vectors: np.ndarray) -> np.ndarray:
    """Unit vectors float32 (n, dim) of sequences; zero where no item has a vector."""
    lengths = rows.lengths
    found = np.zeros((len(rows), vectors.shape[1]), np.float32)
    filled = np.flatnonzero(lengths)
    step = max(1, _AT_ONCE // max(1, int(lengths.max(initial=1))))
    for start in range(0, len(filled), step):
        part = filled[start : start + step]
        taken = rows.take(part)
        found[part] = np.add.reduceat(vectors[taken.items], taken.indptr[:-1], axis=0)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.divide(found, norms, out=found, where=norms > 0)
