"""The embedder that needs no model: hashed words and pieces of words, tf-idf, and their main directions (LSA).

`x = l2((1 + ln tf) idf)` over 2^16 buckets, `idf = ln((1 + N) / (1 + df)) + 1`; then the d right singular vectors of
these rows of which most is explained, by block power iteration (Halko, Martinsson and Tropp, SIAM Review 2011,
algorithm 4.4), and `l2(x V)`.

Two passes fit it: one counts in how many documents a bucket occurs, one takes a sample for the directions: documents
with the smallest random numbers of their keys, up to 32,768 and 64 MB of text, in the order of these numbers. So
neither the order of documents nor their division into shards changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.executor.passes import map_shards, run_pass
from worker.ingest.arrow import Arrow
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.ngrams import Grams
from worker.kinds.text.embedding.pieces import Piece, pieces
from worker.kinds.text.noise import uniform
from worker.numerics.compiled import while_waiting

GRAMS = Grams(1 << 16, words=1, piece=4)
FITTED_ON, FITTED_ON_BYTES = 32_768, 64_000_000
_POWERS, _OVERSAMPLED = 2, 8


def fit(data: Corpus, rows: np.ndarray, dimension: int, ctx: Context) -> HashedTfIdfSvd:
    """The embedder of documents `rows` (sorted int64), of at most `dimension` numbers."""

    def alive() -> None:
        ctx.progress(0, 1, phase="embedder")

    while_waiting(GRAMS.warm_up, alive)
    work = pieces(data, rows)
    frequencies = run_pass(DocumentFrequencies(), work, np.add, ctx, name="document frequencies", total=3)
    idf = (np.log((1 + len(rows)) / (1 + frequencies)) + 1).astype(np.float32)
    sample = _sample(data, rows, ctx.seed)
    found = map_shards(Counts(), pieces(data, sample), ctx, name="a sample of documents", step=1, total=3, keep=False)
    counts = sparse.vstack([_matrix(one) for one in found], format="csr")
    by_noise = np.argsort(uniform(data.key[sample], ctx.seed, "embedder"), kind="stable")
    matrix = weighted(counts[by_noise], idf)
    del counts
    basis = while_waiting(lambda: directions(matrix, dimension, ctx.rng, alive), alive)
    return HashedTfIdfSvd(idf, basis)


def _sample(data: Corpus, rows: np.ndarray, seed: int) -> np.ndarray:
    """Documents that the directions are fitted on, sorted."""
    first = rows[np.argsort(uniform(data.key[rows], seed, "embedder"), kind="stable")[:FITTED_ON]]
    within = np.searchsorted(np.cumsum(data.bytes[first], dtype=np.int64), FITTED_ON_BYTES, "right")
    return np.sort(first[: max(1, int(within))])


@dataclass(frozen=True)
class DocumentFrequencies:
    """The map of a pass: in how many documents of a piece each bucket occurs, int64 (buckets,)."""

    def __call__(self, piece: Piece) -> np.ndarray:
        """Of one piece."""
        total = np.zeros(GRAMS.buckets, np.int64)
        for batch in piece[0].read(piece[1]):
            total += np.bincount(GRAMS.count(batch.column(0)).indices, minlength=GRAMS.buckets)
        return total


@dataclass(frozen=True)
class Counts:
    """The map of a pass: the counts of the documents of a piece, as the three arrays of a sparse matrix."""

    def __call__(self, piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of one piece."""
        matrix = sparse.vstack([GRAMS.count(batch.column(0)) for batch in piece[0].read(piece[1])], format="csr")
        return matrix.data, matrix.indices, matrix.indptr


def _matrix(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> sparse.csr_matrix:
    return sparse.csr_matrix(arrays, shape=(len(arrays[2]) - 1, GRAMS.buckets))


def weighted(counts: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    """tf-idf rows of length 1 (float32) from counts; rows without features stay empty."""
    rows = counts.copy()
    rows.data = (1 + np.log(rows.data)) * idf[rows.indices]
    which = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    lengths = np.sqrt(np.bincount(which, np.square(rows.data, dtype=np.float64), rows.shape[0]))
    rows.data = (rows.data / lengths[which]).astype(np.float32)
    return rows


def directions(
    rows: sparse.csr_matrix, dimension: int, rng: np.random.Generator, alive: Callable[[], object] = lambda: None
) -> np.ndarray:
    """Right singular vectors float32 (V, d) of rows (n, V), the strongest first; fewer than `dimension` where the rows
    span less. `alive` is called between steps and may raise to leave."""
    used = np.unique(rows.indices)
    if not len(used):
        return np.zeros((rows.shape[1], 0), np.float32)
    x = rows[:, used]
    width = min(dimension + _OVERSAMPLED, *x.shape)
    basis = np.linalg.qr(rng.standard_normal((len(used), width)))[0]
    for _ in range(_POWERS):
        alive()
        basis = np.linalg.qr(x.T @ (x @ basis))[0]
    alive()
    images = x @ basis
    values, vectors = np.linalg.eigh(images.T @ images)
    largest = np.argsort(-values, kind="stable")[:dimension]
    largest = largest[values[largest] > 1e-9 * max(values.max(), 1e-300)]
    found = np.zeros((rows.shape[1], len(largest)), np.float32)
    found[used] = basis @ vectors[:, largest]
    return found


@dataclass(frozen=True)
class HashedTfIdfSvd:
    """A fitted embedder: `idf` float32 (V,), `basis` float32 (V, d). Picklable."""

    idf: np.ndarray
    basis: np.ndarray
    column: str = "text"
    at_once: int = 4_096

    @property
    def dimension(self) -> int:
        """d, which is below what was asked for where the documents span less."""
        return self.basis.shape[1]

    def __call__(self, texts: Arrow) -> np.ndarray:
        """Vectors float32 (n, d) of length 1, or 0 for a text without words."""
        found = np.asarray(weighted(GRAMS.count(texts), self.idf) @ self.basis)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(lengths > 1e-6, lengths, np.inf)
