"""Ranking metrics of a recommender, per user, over all items: no sampled negatives except for AUC.

Definitions: arXiv:2206.02626 and its official code. A learner ranks the items that are not in a user's
inputs; equal scores go to the lower item index. `psp_paper` repeats the official code, which divides twice
by m and so has the ceiling 1/m; `psp` lies in [0, 1]. The official AUC depends on the order of equal
scores; ours counts a tie as half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import Queries

BLOCK = 4096
_ELEMENTS = 1 << 27  # scores alive at once: 512 MB
NEGATIVES = 50


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
    """Metrics in [0, 1] of each query with a target: `hr@k`, `ndcg@k`, `psp@k`, `psp_paper@k`, each (q,)
    float64.

    With `auc`: `auc_user` (q,), NaN for a user who has used every item, and `auc_pooled` (), in which the
    positives of all users compete with the negatives of all users. Negatives are drawn with replacement
    from the items that are neither inputs nor targets (the official code leaves validation items in).
    `train_counts` (I,): events of each item in the full training part, whatever the learner was trained on.
    Rows follow `queries.with_targets()`.
    """
    score = model if callable(model) else model.scores
    queries = queries.with_targets()
    weights = propensity_weights(train_counts)
    drawn = draw_negatives(queries, negatives, seed) if auc else None
    size = max(1, min(block, _ELEMENTS // max(1, queries.inputs.shape[1])))
    parts, positive, negative = [], [], []
    for start in range(0, len(queries), size):
        part = queries.take(np.arange(start, min(start + size, len(queries))))
        scores = np.require(score(part.inputs), np.float32, ["C", "W"])
        if drawn is not None:
            rows = np.repeat(np.arange(len(part)), np.diff(part.targets.indptr))
            positive.append(scores[rows, part.targets.indices])
            negative.append(np.take_along_axis(scores, drawn[start : start + size], 1))
        parts.append(_ranked(scores, part, weights, ks))
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if drawn is not None and parts:
        found |= _auc(np.concatenate(positive), np.concatenate(negative), queries)
    return found


def _ranked(scores: np.ndarray, part: Queries, weights: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    if np.isnan(scores).any():
        raise JobError("diverged", "The learner gave scores that are not numbers.")
    rows = np.repeat(np.arange(len(part)), np.diff(part.inputs.indptr))
    scores[rows, part.inputs.indices] = -np.inf
    top = top_items(scores, max(ks))
    hits = _contains(part.targets, top) & np.isfinite(np.take_along_axis(scores, top, 1))
    sizes = np.diff(part.targets.indptr)
    discount = 1 / np.log2(np.arange(2, max(ks) + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))
    gained = np.where(hits, weights[top], 0.0)
    best = _best_weights(part.targets, weights, ks)
    found = {}
    for k in ks:
        m = np.minimum(sizes, k)
        found[f"hr@{k}"] = hits[:, :k].sum(axis=1) / m
        found[f"ndcg@{k}"] = hits[:, :k] @ discount[: min(k, top.shape[1])] / ideal[m]
        found[f"psp@{k}"] = gained[:, :k].sum(axis=1) / best[k]
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
