"""Ranking metrics of a recommender, per user, over all items: no sampled negatives except for AUC.

Definitions: arXiv:2206.02626 and its official code. A learner ranks the items that are not in a user's
inputs; equal scores go to the lower item index. `psp_paper` repeats the official code, which divides twice
by m and so has the ceiling 1/m; `psp` lies in [0, 1]. The official AUC depends on the order of equal
scores; ours counts a tie as half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import Queries
from worker.kinds.interactions.distinct import distinct

BLOCK = 4096
_ELEMENTS = 1 << 27  # scores alive at once: 512 MB
NEGATIVES = 50
_FEW_PATTERNS = 0.8  # up to this share of distinct histories it pays to score each once


class Model(Protocol):
    """A fitted learner."""

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """Scores (q, I) float32 of every item for rows of inputs (q, I)."""
        ...


def propensity_weights(train_counts: np.ndarray) -> np.ndarray:
    """Inverse propensities w (I,) from training counts (I,): 1 + C (n_i + B)^-A, C = (ln N - 1)(B + 1)^A, N
    events.

    A = 0.55, B = 1.5 (Jain et al. 2016).
    """
    counts = np.asarray(train_counts, np.float64)
    scale = (np.log(max(counts.sum(), 1.0)) - 1) * 2.5**0.55
    return 1 + scale * (counts + 1.5) ** -0.55


def top_items(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices (q, k) of the k best items of each row of scores (q, I): best first, equal scores by lower
    index."""
    count = scores.shape[1]
    k = min(k, count)
    values, items = torch.from_numpy(scores).topk(k, dim=1, sorted=False)
    least = values.min(dim=1).values.numpy()[:, None]
    items = np.sort(items.numpy(), axis=1)
    crowded = np.flatnonzero((scores >= least).sum(axis=1) > k)  # topk chose among equals as it pleased
    if len(crowded):
        rows, bound = scores[crowded], least[crowded]
        better, equal = rows > bound, rows == bound
        room = k - better.sum(axis=1, keepdims=True)
        kept = better | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))
        items[crowded] = np.nonzero(kept)[1].reshape(-1, k)
    best = np.argsort(-np.take_along_axis(scores, items, 1), axis=1, kind="stable")
    return np.take_along_axis(items, best, 1)


@dataclass(frozen=True)
class _Block:
    """Users that are measured together. `inputs`: the histories a model is asked for (d, I), each once where many are
    equal; `pattern`: which of them each user (b,) has, None for one each; `best`: see `_best_weights`."""

    users: Queries
    inputs: sparse.csr_array
    pattern: np.ndarray | None
    best: dict[int, np.ndarray]

    @classmethod
    def of(cls, users: Queries, weights: np.ndarray, ks: tuple[int, ...], *, share: bool) -> _Block:
        best = _best_weights(users.targets, weights, ks)
        if share and (users.inputs.data == 1).all():
            first, pattern = distinct(users.inputs)
            if len(first) <= _FEW_PATTERNS * len(users):
                return cls(users, sparse.csr_array(users.inputs[first]), pattern, best)
        return cls(users, users.inputs, None, best)


@dataclass(frozen=True)
class Ranking:
    """A measurement of how models rank items for the same users; what all models share is computed once.

    `drawn` (q, negatives): the items that targets compete with in the AUC, None without it.
    """

    queries: Queries
    ks: tuple[int, ...]
    weights: np.ndarray
    drawn: np.ndarray | None
    blocks: tuple[_Block, ...]

    @classmethod
    def of(
        cls,
        queries: Queries,
        train_counts: np.ndarray,
        ks: tuple[int, ...] = (10, 100),
        *,
        auc: bool = True,
        seed: int = 0,
        negatives: int = NEGATIVES,
        block: int = BLOCK,
        share: bool = False,
    ) -> Ranking:
        """For the queries with a target; users are scored `block` at a time, with `share` those of equal histories as
        one: on data with short rows most users share theirs.

        `train_counts` (I,): events of each item in the full training part, whatever the learner was trained on.
        Negatives are drawn with `seed` and with replacement from the items that are neither inputs nor targets (the
        official code leaves validation items in).
        """
        queries = queries.with_targets()
        weights = propensity_weights(train_counts)
        size = max(1, min(block, _ELEMENTS // max(1, queries.inputs.shape[1])))
        starts = range(0, len(queries), size)
        parts = (queries.take(np.arange(start, min(start + size, len(queries)))) for start in starts)
        blocks = tuple(_Block.of(part, weights, ks, share=share) for part in parts)
        return cls(queries, ks, weights, draw_negatives(queries, negatives, seed) if auc else None, blocks)

    @property
    def inputs(self) -> list[sparse.csr_array]:
        """The histories (d, I) that `measure` asks a model for, in this order."""
        return [block.inputs for block in self.blocks]

    def measure(self, model: Model | Callable[[sparse.csr_array], np.ndarray]) -> dict[str, np.ndarray]:
        """Metrics in [0, 1] of each query: `hr@k`, `ndcg@k`, `psp@k`, `psp_paper@k`, each (q,) float64.

        With AUC: `auc_user` (q,), NaN for a user who has used every item, and `auc_pooled` (), in which the positives
        of all users compete with the negatives of all users. Raises `JobError` `diverged` for scores that are NaN.
        """
        score = model if callable(model) else model.scores
        parts, positive, negative = [], [], []
        start = 0
        for block in self.blocks:
            asked = score(block.inputs)
            scores = np.require(asked if block.pattern is None else asked[block.pattern], np.float32, ["C", "W"])
            if self.drawn is not None:
                targets = block.users.targets
                rows = np.repeat(np.arange(len(block.users)), np.diff(targets.indptr))
                positive.append(scores[rows, targets.indices])
                negative.append(np.take_along_axis(scores, self.drawn[start : start + len(block.users)], 1))
            parts.append(_ranked(scores, block, self.weights, self.ks))
            start += len(block.users)
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        if self.drawn is not None and parts:
            found |= _auc(np.concatenate(positive), np.concatenate(negative), self.queries)
        return found


def evaluate(
    model: Model | Callable[[sparse.csr_array], np.ndarray],
    queries: Queries,
    train_counts: np.ndarray,
    ks: tuple[int, ...] = (10, 100),
    *,
    auc: bool = True,
    seed: int = 0,
    negatives: int = NEGATIVES,
    block: int = BLOCK,
) -> dict[str, np.ndarray]:
    """The metrics of one model, see `Ranking`; rows follow `queries.with_targets()`."""
    return Ranking.of(queries, train_counts, ks, auc=auc, seed=seed, negatives=negatives, block=block).measure(model)


def _ranked(scores: np.ndarray, block: _Block, weights: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    if np.isnan(scores).any():
        raise JobError("diverged", "The learner gave scores that are not numbers.")
    part = block.users
    rows = np.repeat(np.arange(len(part)), np.diff(part.inputs.indptr))
    scores[rows, part.inputs.indices] = -np.inf
    top = top_items(scores, max(ks))
    hits = _contains(part.targets, top) & np.isfinite(np.take_along_axis(scores, top, 1))
    sizes = np.diff(part.targets.indptr)
    discount = 1 / np.log2(np.arange(2, max(ks) + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))
    gained = np.where(hits, weights[top], 0.0)
    found = {}
    for k in ks:
        m = np.minimum(sizes, k)
        found[f"hr@{k}"] = hits[:, :k].sum(axis=1) / m
        found[f"ndcg@{k}"] = hits[:, :k] @ discount[: min(k, top.shape[1])] / ideal[m]
        found[f"psp@{k}"] = gained[:, :k].sum(axis=1) / block.best[k]
        found[f"psp_paper@{k}"] = found[f"psp@{k}"] / m
    return found


def _contains(targets: sparse.csr_array, items: np.ndarray) -> np.ndarray:
    """Which of the items (q, k) are targets of their row."""
    q, width = targets.shape
    rows = np.repeat(np.arange(q, dtype=np.int64), np.diff(targets.indptr))
    keys = np.sort(rows * width + targets.indices)
    wanted = np.arange(q, dtype=np.int64)[:, None] * width + items
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return keys[place] == wanted


def _best_weights(targets: sparse.csr_array, weights: np.ndarray, ks: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Per k, the sum over each row (q,) of its min(k, targets) largest weights."""
    rows = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
    value = weights[targets.indices]
    value = value[np.lexsort((-value, rows))]
    rank = np.arange(len(rows)) - targets.indptr[rows]
    return {k: np.bincount(rows, np.where(rank < k, value, 0.0), targets.shape[0]) for k in ks}


def draw_negatives(queries: Queries, count: int, seed: int) -> np.ndarray:
    """Items (q, count) that are neither inputs nor targets, drawn uniformly with replacement.

    A user without such an item gets item 0; `evaluate` gives that user no AUC.
    """
    used = sparse.csr_array(queries.inputs + queries.targets)
    used.sort_indices()
    width = used.shape[1]
    sizes = np.diff(used.indptr)
    rows = np.repeat(np.arange(len(queries), dtype=np.int64), sizes)
    gaps = rows * (width + 1) + used.indices - (np.arange(used.nnz) - used.indptr[rows])  # unused items before each
    free = width - sizes
    uniform = np.random.default_rng(seed).random((len(queries), count))
    rank = np.minimum((uniform * free[:, None]).astype(np.int64), np.maximum(free - 1, 0)[:, None])
    keys = np.arange(len(queries), dtype=np.int64)[:, None] * (width + 1) + rank
    skipped = np.searchsorted(gaps, keys, side="right") - used.indptr[:-1, None]
    return np.where(free[:, None] > 0, rank + skipped, 0)


def rank_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties as half (rank sum with midranks)."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean(dtype=np.float64) / (2 * len(ordered)))


def _auc(positive: np.ndarray, negative: np.ndarray, queries: Queries) -> dict[str, np.ndarray]:
    sizes = np.diff(queries.targets.indptr)
    rows = np.repeat(np.arange(len(queries)), sizes)
    won = np.empty(len(rows))
    for start in range(0, len(rows), 1 << 16):
        part = slice(start, start + (1 << 16))
        against, own = negative[rows[part]], positive[part, None]
        won[part] = ((own > against) + 0.5 * (own == against)).mean(axis=1)
    used = np.diff(sparse.csr_array(queries.inputs + queries.targets).indptr)
    free = used < queries.inputs.shape[1]
    per_user = np.where(free, np.bincount(rows, won, len(queries)) / sizes, np.nan)
    pooled = rank_auc(positive[free[rows]], negative[free].ravel()) if free.any() else np.nan
    return {"auc_user": per_user, "auc_pooled": np.asarray(pooled)}


def means(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean over users of each metric; users for whom one is undefined (NaN) are left out of it."""
    return {name: float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
            for name, values in found.items()}  # fmt: skip
