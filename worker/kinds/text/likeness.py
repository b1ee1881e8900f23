"""How much documents look like those of a target set: logistic regression on hashed words and pairs of neighbours.

Target documents against ones of the corpus, as for GPT-3 (Brown et al., arXiv:2005.14165, appendix A). Those of the
corpus are scored out of fold: each by the classifier of the other half, so that none is called bad for having been
shown as such. Learned from up to 20,000 documents a half; scoring is one pass, O(characters).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from worker.contract.context import Context
from worker.executor.passes import map_shards
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.ngrams import Grams
from worker.kinds.text.embedding.pieces import Piece, pieces
from worker.kinds.text.noise import uniform
from worker.kinds.text.summary import TextSummary
from worker.numerics.compiled import while_waiting

GRAMS = Grams(1 << 16, words=2, marks=True)
LEARNED_FROM, _LEARNED_BYTES = 20_000, 32_000_000  # of each class and half
_PENALTY = 1e-4
_STEPS = 100


def quality_scores(data: Corpus, rows: np.ndarray, target: TextSummary, ctx: Context) -> np.ndarray:
    """The probability that each document (sorted int64) is one of the target, both being equally many, by the
    classifier that has not learned from its half: float64 (n,)."""
    while_waiting(GRAMS.warm_up, lambda: ctx.progress(0, 1, phase="n-grams"))
    wanted = _features(target.corpus, np.sort(target.taken), "target", 0, ctx)
    half = halves(data, rows)
    weights = np.zeros((2, GRAMS.buckets + 1))
    for fold in (0, 1):
        seen = rows[half != fold]
        if not len(seen):  # a single document: there is no other half
            continue
        others = _features(data, seen, f"half {fold}", 1 + fold, ctx)
        weights[fold] = _fitted(wanted, others, ctx)
    work = pieces(data, rows)
    starts = np.cumsum([0, *(len(piece[1]) for piece in work)])
    shards = [(piece, half[a:b]) for piece, a, b in zip(work, starts[:-1], starts[1:], strict=True)]
    found = map_shards(Score(weights), shards, ctx, name="scores", step=3, total=4)
    return np.concatenate(list(found))


def halves(data: Corpus, rows: np.ndarray) -> np.ndarray:
    """0 or 1 for each document, by its text, so that copies are in one half: int8 (n,)."""
    return (uniform(data.hash[rows], 0, "halves") < 0.5).astype(np.int8)


def _features(data: Corpus, rows: np.ndarray, name: str, step: int, ctx: Context) -> sparse.csr_matrix:
    """Features of documents drawn from `rows`, csr (n, buckets)."""
    order = rows[np.argsort(uniform(data.key[rows], ctx.seed, "learned from"), kind="stable")[:LEARNED_FROM]]
    within = int(np.searchsorted(np.cumsum(data.bytes[order], dtype=np.int64), _LEARNED_BYTES, "right"))
    drawn = np.sort(order[: max(1, within)])
    blocks = map_shards(Features(), pieces(data, drawn), ctx, name=f"n-grams of {name}", step=step, total=4, keep=False)
    parts = [sparse.csr_matrix(one, shape=(len(one[2]) - 1, GRAMS.buckets)) for one in blocks]
    return sparse.vstack(parts, format="csr")


def _normal(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """1 + ln of the counts, rows to length 1."""
    counts.data = 1 + np.log(counts.data)
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    counts.data = counts.data / np.repeat(np.maximum(lengths, 1e-12), np.diff(counts.indptr)).astype(np.float32)
    return counts


def _fitted(wanted: sparse.csr_matrix, others: sparse.csr_matrix, ctx: Context) -> np.ndarray:
    """Weights float64 (buckets + 1,), the last one for all, of a ridge-penalised logistic regression in which both
    classes count alike."""
    x = sparse.vstack([wanted, others], format="csr").astype(np.float64)
    sign = np.concatenate([np.ones(wanted.shape[0]), -np.ones(others.shape[0])])
    share = np.concatenate([np.full(one.shape[0], 0.5 / one.shape[0]) for one in (wanted, others)])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        ctx.progress(0, 1, phase="classifier")
        margins = sign * (x @ w[:-1] + w[-1])
        slope = -share * sign * expit(-margins)
        value = share @ np.logaddexp(0, -margins) + _PENALTY / 2 * (w[:-1] @ w[:-1])
        return value, np.append(x.T @ slope + _PENALTY * w[:-1], slope.sum())

    start = np.zeros(GRAMS.buckets + 1)
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x


@dataclass(frozen=True)
class Features:
    """The map of a pass: the features of the documents of a piece, as the three arrays of a sparse matrix."""

    def __call__(self, piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of one piece."""
        counted = [GRAMS.count(batch.column(0)) for batch in piece[0].read(piece[1])]
        found = _normal(sparse.vstack(counted, format="csr"))
        return found.data, found.indices, found.indptr


@dataclass(frozen=True)
class Score:
    """The map of a pass: probabilities float64 (n,) of the documents of a piece, by the weights (2, buckets + 1) of
    their half."""

    weights: np.ndarray

    def __call__(self, part: tuple[Piece, np.ndarray]) -> np.ndarray:
        """Of one piece and the halves of its documents, some 16 MB of text at a time: documents may be long."""
        (shard, rows), half = part
        found: list[np.ndarray] = []
        for batch in shard.read(rows):
            found.append(_normal(GRAMS.count(batch.column(0))) @ self.weights[:, :-1].T + self.weights[:, -1])
        return expit(np.concatenate(found)[np.arange(len(half)), half])
