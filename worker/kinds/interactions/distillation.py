"""The mathematics of Distill-CF: learnable user rows, the loss of the model they train, and their validation.

A summary of n rows over I items is good when the infinitely wide auto-encoder (kernel ridge regression with
the NTK) trained on it predicts the rows of real users (arXiv:2206.02626, section 4). All functions are pure:
what is random is a function of (seed, step). Torch tensors are dense, real users stay sparse until they enter
a batch.

Where this differs from the published code: the row mass does not depend on the number of draws, equal real
rows are merged and weighted, the inner ridge is fixed instead of following the last validation, part of each
input row can be hidden, and a step can be taken with rows as they are delivered, hard or ranked (straight-through).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.kinds.interactions.distinct import distinct
from worker.numerics.gumbel import relaxed_mean
from worker.numerics.ntk import full_precision, ntk_from_gram
from worker.numerics.ridge import NotPositiveDefinite, ridge_solve, solve
from worker.numerics.seeds import mix

Rows = sparse.csr_array
_INIT, _BATCH, _MASK = 1, 2, 3  # streams of random numbers, kept apart


@dataclass(frozen=True)
class Targets:
    """Distinct real rows (B, I) 0/1 with the number of users (B,) that have each, whole unless rows of the version
    stand for a fraction of one; `mean_events` of a user; `dim`: items of the dataset."""

    rows: Rows
    weights: np.ndarray
    mean_events: float
    dim: int


def merge_equal_rows(rows: Rows, dim: int | None = None, mass: np.ndarray | None = None) -> Targets:
    """Distinct rows in order of first appearance, weighted by how many users have them: same loss, fewer rows.

    `mass` (n,): users that each row stands for, one each when left out.
    """
    first, pattern = distinct(rows)
    lengths = np.diff(rows.indptr)
    return Targets(
        rows=Rows(rows[first]),
        weights=np.bincount(pattern, mass, minlength=len(first)),
        mean_events=float(np.average(lengths, weights=mass)) if len(lengths) else 0.0,
        dim=dim or rows.shape[1],
    )


def initial_logits(
    rows: Rows, n: int, *, start: str, noise: float, seed: int, mass: np.ndarray | None = None
) -> np.ndarray:
    """Logits (n, I) float32 to start from: 0/1 rows of `users` drawn at random, of `head` users (most
    events), or `random`: log item popularity, the same for every row, so that no real user's row enters the
    summary.

    `noise`: standard deviation of what is added, since equal rows make the kernel singular without draws. `mass` (n,):
    users that each row stands for; rows are drawn, and items counted, in proportion to it.
    """
    rng = np.random.default_rng(mix(seed, _INIT))
    if start == "random":
        popularity = np.log1p(np.asarray(rows.sum(axis=0) if mass is None else rows.T @ mass, np.float32).ravel())
        logits = np.tile(popularity - popularity.mean(), (n, 1))
        noise = max(noise, 0.5)
    elif start == "head":
        chosen = np.argsort(-np.diff(rows.indptr), kind="stable")[:n]
        logits = rows[chosen].toarray()
    else:
        chosen = rng.choice(rows.shape[0], size=n, replace=False, p=None if mass is None else mass / mass.sum())
        logits = rows[chosen].toarray()
    return (logits + noise * rng.standard_normal(logits.shape, dtype=np.float32)).astype(np.float32)


def soft_rows(logits: Tensor, *, row_mass: float, tau: float, draws: int, seed: int, step: int) -> Tensor:
    """Xs = min(row_mass * mean of the draws, 1) (n, I): rows of soft events, `row_mass` of them before the clip."""
    mean = relaxed_mean(logits, tau=tau, draws=draws, seed=seed, step=step)
    return (row_mass * mean).clamp(max=1.0)


def top_events(rows: Tensor, per_row: Tensor) -> Tensor:
    """0/1 rows (n, I) with the per_row[r] (n,) largest entries of row r; equal values go to the lower item."""
    order = torch.argsort(rows, dim=1, descending=True, stable=True)
    kept = torch.arange(rows.shape[1], device=rows.device)[None, :] < per_row[:, None]
    return torch.zeros_like(rows).scatter_(1, order, kept.to(rows.dtype))


def ranked_rows(rows: Tensor, events: int, longer: int = 0) -> Tensor:
    """The `events` largest entries of each row (n, I), of `longer` rows one more, the j-th of them replaced by the mean
    of all rows' j-th.

    So a row is known by its items in falling order, and one curve restores the values. They are rounded to float16, in
    which the curve is delivered. The longer rows are those whose next entry is largest, equal ones by number.
    """
    values, items = torch.topk(rows, events + (longer > 0), dim=1)
    kept = torch.ones_like(values, dtype=torch.bool)
    if longer:
        chosen = torch.argsort(values[:, -1], descending=True, stable=True)[:longer]
        kept[:, -1] = False
        kept[chosen, -1] = True
    means = (values * kept).sum(0) / kept.sum(0)
    curve = means.cummin(0).values.to(torch.float16).to(rows.dtype).clamp(min=2.0**-14)
    return torch.zeros_like(rows).scatter_(1, items, curve * kept)


def straight_through(soft: Tensor, delivered: Tensor) -> Tensor:
    """The rows as they would be delivered forward, the soft rows' gradient backward."""
    return soft + (delivered - soft).detach()


def batches(targets: Targets, size: int, block: int, seed: int, step: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """This step's target rows in blocks of at most `block`: row numbers (b,) and how many users each stands for.

    `size` users are drawn without replacement, 0 takes all; users with equal rows share one. Where weights have
    fractions, users are equal slices of their sum, each of which belongs to a row that has part in it, in proportion.
    """
    ends = np.cumsum(targets.weights)
    users = int(ends[-1])
    if 0 < size < users:
        rng = np.random.default_rng(mix(seed, _BATCH, step))
        drawn = rng.choice(users, size, replace=False) + rng.random(size)
        rows = np.searchsorted(ends, drawn * (ends[-1] / users), side="right").clip(max=len(ends) - 1)
        chosen, weights = np.unique(rows, return_counts=True)
    else:
        chosen, weights = np.arange(len(targets.weights)), targets.weights
    for first in range(0, len(chosen), block):
        yield chosen[first : first + block], weights[first : first + block]


def masked(rows: Rows, share: float, seed: int, step: int, block: int) -> Rows:
    """`rows` with a random `share` of the events of each row hidden."""
    if share == 0:
        return rows
    keep = np.random.default_rng(mix(seed, _MASK, step, block)).random(rows.nnz) >= share
    inputs = rows.copy()
    inputs.data = inputs.data * keep
    inputs.eliminate_zeros()
    return inputs


def dense(rows: Rows, like: Tensor) -> Tensor:
    """Sparse rows as a dense tensor of `like`'s dtype and device."""
    return torch.from_numpy(rows.toarray()).to(device=like.device, dtype=like.dtype)


def kernel(x: Tensor, y: Tensor | None, *, dim: int, depth: int) -> Tensor:
    """NTK (n, m) of dense rows that may lack columns of the `dim` of the dataset where all are zero."""
    with full_precision():
        gram = x @ (x if y is None else y).T
    norms = x.square().sum(1)
    other = norms if y is None else y.square().sum(1)
    return ntk_from_gram(gram, norms, other, dim=dim, depth=depth, symmetric=y is None)


def outer_loss(
    rows: Tensor,
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    ridge: float,
    depth: int = 1,
    dim: int | None = None,
    normalise_users: bool = False,
) -> Tensor:
    """Weighted sum over real users of the multinomial negative log likelihood of their row (scalar).

    `rows` (n, I): the summary, through which the gradient flows in all three places; `inputs`, `targets` (B,
    I): what the model sees of the real users and what it is to predict; `weights` (B,): users a row stands
    for. scores = K(inputs, rows) (K(rows, rows) + ridge tr/n I)^-1 rows; -sum_u w_u sum_i targets
    log_softmax(scores). Heavy users weigh more, as published, unless `normalise_users`. Raises
    `NotPositiveDefinite`, or `ValueError` when a kernel entry is not finite.
    """
    dim = dim or rows.shape[1]
    k_ss = kernel(rows, None, dim=dim, depth=depth)
    k_sb = kernel(rows, inputs, dim=dim, depth=depth)
    with full_precision():
        scores = ridge_solve(k_ss, k_sb, ridge).T @ rows  # (B, n) @ (n, I): cheaper than (n, n) @ (n, I) first
    likelihood = (targets * torch.log_softmax(scores, dim=1)).sum(1)
    if normalise_users:
        likelihood = likelihood / targets.sum(1).clamp(min=1)
    return -(weights * likelihood).sum()


def sparsity_loss(rows: Tensor, rho: float, mean_events: float) -> Tensor:
    """rho * mean row sum / mean events of a real user: what keeps rows from filling up."""
    return rho * rows.sum(1).mean() / max(mean_events, 1e-9)


@dataclass(frozen=True)
class Validated:
    """Best ridge of a grid for one summary, its metrics (shares, not percent) and the score of every ridge."""

    ridge: float
    score: float
    metrics: dict[str, float]
    curve: list[tuple[float, float]]


@dataclass(frozen=True)
class Validator:
    """Held-out real users: what the model sees of them (q, I), what it is to find (q, I), and the ridges to try."""

    inputs: Rows
    targets: Rows
    grid: Sequence[float]
    dim: int
    depth: int

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Validated:
        """Score a summary (n, I) by the mean of HR@10, nDCG@10, HR@100 / 2 and nDCG@100, for its best ridge.

        A ridge at which the kernel is singular is passed over; `ValueError` when none is left.
        """
        seen = dense(self.inputs, rows)
        wanted = dense(self.targets, rows)
        k_ss = kernel(rows, None, dim=self.dim, depth=self.depth)
        k_sq = kernel(rows, seen, dim=self.dim, depth=self.depth)
        found: list[tuple[float, float, dict[str, float]]] = []
        for ridge in self.grid:
            try:
                weights = solve(k_ss, k_sq, ridge).to(rows.dtype)  # (n, q)
            except NotPositiveDefinite:
                continue
            with full_precision():
                scores = (weights.T @ rows).masked_fill_(seen > 0, -torch.inf)
            metrics = ranking_metrics(scores, wanted)
            found.append((ridge, checkpoint_score(metrics), metrics))
        best = max(found, key=lambda entry: entry[1])  # the first, smallest ridge among equals
        return Validated(best[0], best[1], best[2], [(ridge, score) for ridge, score, _ in found])


def ranking_metrics(scores: Tensor, wanted: Tensor) -> dict[str, float]:
    """Mean over users of truncated recall (hr) and nDCG at 10 and 100; scores (q, I), wanted (q, I) 0/1."""
    depth = min(100, scores.shape[1])
    best, top = torch.topk(scores, depth, dim=1)
    hits = wanted.gather(1, top) * torch.isfinite(best)  # a target that was already seen cannot be found
    counts = wanted.sum(1)
    discount = 1 / torch.log2(torch.arange(2, depth + 2, device=scores.device, dtype=scores.dtype))
    ideal = discount.cumsum(0)
    metrics = {}
    for k in (10, 100):
        cut = min(k, depth)
        reach = counts.clamp(1, cut)
        metrics[f"hr@{k}"] = float((hits[:, :cut].sum(1) / reach).mean())
        gain = hits[:, :cut] @ discount[:cut]
        metrics[f"ndcg@{k}"] = float((gain / ideal[reach.long() - 1]).mean())
    return metrics


def checkpoint_score(metrics: dict[str, float]) -> float:
    """Mean of HR@10, nDCG@10, HR@100 / 2 and nDCG@100: the criterion by which a checkpoint is kept."""
    return (metrics["hr@10"] + metrics["ndcg@10"] + metrics["hr@100"] / 2 + metrics["ndcg@100"]) / 4
