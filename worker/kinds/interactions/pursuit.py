"""Weighted histories that train EASE as all histories do: pursuit in EASE's own metric, then refined weights.

EASE with the Gram matrix G and ridge r has weights B* = I - P diag(1 / P_jj), P = (G + r I)^-1. With another Gram
matrix Gs = X^T diag(w) X its weights B are others, and predict worse by the excess loss tr((B - B*)^T (G + r I)
(B - B*)). To second order in Gs - G that is a quadratic form in w: with C = P diag(1 / P_jj) and E = X C, for
histories x_i, x_j

    H_ij = (e_i . e_j) (x_i P x_j) - sum_k P_kk e_ik^2 e_jk^2        (Gauss-Newton: the slope of B in G is exact)

and the loss is (w - c)^T H (w - c), c the counts of all histories. It has closed forms for what is needed of c: H c is
the vector of e_i^T (C^T G diag(P_kk)) e_i - sum_k P_kk e_ik^2 (C^T G C)_kk, so histories that are no candidates count
fully without a row or column of H. As r grows, H becomes the distance of Gram matrices off the diagonal.

This method is ours; it is in no paper that we know of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg, sparse

Rows = sparse.csr_array
Tick = Callable[[], None]
_BLOCK = 1024
_CHUNK = 0.03  # of the budget is spent in a round, before all weights settle again
_SWEEPS, _LAST_SWEEPS = 2, 15
_ROUNDS = 400
_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
_RATE, _STEPS = 0.08, 60
_NEVER = -np.inf


def weighted_gram(rows: Rows, weights: np.ndarray) -> np.ndarray:
    """X^T diag(w) X (I, I) float64."""
    wide = Rows(rows, dtype=np.float64)
    return (wide.T @ sparse.diags_array(weights.astype(np.float64)) @ wide).toarray()


@dataclass(frozen=True)
class EaseMetric:
    """What the metric needs of the full data, all float32: P's diagonal (I,), C (I, I), the pull of the full data
    C (C^T G diag(P_kk)) C^T (I, I) on pairs of items, and P_kk (C^T G C)_kk (I,).
    """

    diagonal: np.ndarray
    spread: np.ndarray
    pulled: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, gram: np.ndarray, ridge: float) -> EaseMetric:
        """From the Gram matrix (I, I) float64 of the full data. O(I^3)."""
        inverse = linalg.inv(gram + ridge * np.eye(len(gram)), check_finite=False)
        diagonal = np.diagonal(inverse)
        spread = inverse / diagonal
        mixed = spread.T @ gram
        squares = diagonal * np.einsum("ij,ji->i", mixed, spread)
        pulled = spread @ (mixed * diagonal) @ spread.T
        return cls(*(np.asarray(part, np.float32) for part in (diagonal, spread, pulled, squares)))

    def project(self, rows: Rows) -> np.ndarray:
        """E = X C (n, I) float32."""
        return np.asarray(Rows(rows, dtype=np.float32) @ self.spread)

    def towards(self, rows: Rows, tick: Tick) -> tuple[np.ndarray, np.ndarray]:
        """(H c)_i and H_ii (n,) float64 of histories (n, I), in blocks: O(events I) time, O(I^2) memory."""
        pull, norm = np.empty(rows.shape[0]), np.empty(rows.shape[0])
        for start in range(0, rows.shape[0], _BLOCK):
            part = slice(start, start + _BLOCK)
            block = Rows(rows[part], dtype=np.float32)
            each = self.project(block)
            squared = each * each
            pull[part] = _within(block, block @ self.pulled) - squared @ self.squares
            inner = _within(block, each * self.diagonal)
            norm[part] = squared.sum(1) * inner - (squared * squared) @ self.diagonal
            tick()
        return pull, norm

    def matrix(self, rows: Rows, tick: Tick) -> np.ndarray:
        """H (n, n) float32 of histories (n, I). O(n^2 I) time."""
        each = self.project(rows)
        squared = each * each
        out = np.empty((rows.shape[0], rows.shape[0]), np.float32)
        transposed = sparse.csc_array(rows.T, dtype=np.float32)
        for start in range(0, rows.shape[0], _BLOCK):
            part = slice(start, start + _BLOCK)
            block = each[part] @ each.T
            block *= np.asarray((each[part] * self.diagonal) @ transposed)
            block -= (squared[part] * self.diagonal) @ squared.T
            out[part] = block
            tick()
        return out


def _within(rows: Rows, values: np.ndarray) -> np.ndarray:
    """Sum (n,) of the values (n, I) at each row's own items."""
    return np.asarray(rows.multiply(values).sum(axis=1)).ravel()


def candidates(pull: np.ndarray, norm: np.ndarray, prices: np.ndarray, most: int) -> np.ndarray:
    """Those `most` histories, in ascending order, that alone would lower the loss most for their price."""
    if len(pull) <= most:
        return np.arange(len(pull))
    return np.sort(np.argsort(-_gains(pull, norm, prices), kind="stable")[:most])


def _gains(slope: np.ndarray, norm: np.ndarray, prices: np.ndarray) -> np.ndarray:
    return np.where((slope > 0) & (norm > 0), slope * slope / np.maximum(norm, 1e-30) / prices, _NEVER)


def pursue(
    metric: np.ndarray, pull: np.ndarray, prices: np.ndarray, budget: int, tick: Tick
) -> tuple[np.ndarray, np.ndarray]:
    """Histories (m,) and weights (m,) > 0 with small (w - c)^T H (w - c), whose prices sum to at most `budget`.

    `metric`: H (n, n); `pull`: H c (n,). In rounds: the rows of most gain for their price join, up to 3 % of the budget
    but at least one; then all weights move by two sweeps of coordinate descent, and those that reach 0 are refunded.
    """
    norm = np.diagonal(metric).astype(np.float64)
    active = np.empty(0, np.int64)
    weights = np.empty(0)
    for _ in range(_ROUNDS):
        slope = pull - metric[:, active] @ weights
        left = budget - int(prices[active].sum())
        joined = _best_within(slope, norm, prices, active, left, max(1, int(_CHUNK * budget)))
        if not len(joined):
            break
        first = slope[joined] / norm[joined] / np.sqrt(len(joined))
        active, weights = np.append(active, joined), np.append(weights, first)
        weights = _settled(metric, pull, active, weights, _SWEEPS)
        active, weights = active[weights > 0], weights[weights > 0]
        tick()
    weights = _settled(metric, pull, active, weights, _LAST_SWEEPS)
    return active[weights > 0], weights[weights > 0]


def _best_within(
    slope: np.ndarray, norm: np.ndarray, prices: np.ndarray, active: np.ndarray, left: int, chunk: int
) -> np.ndarray:
    """The rows of most gain for their price that fit: one in any case, further ones within the chunk."""
    gains = _gains(slope, norm, prices)
    gains[active] = _NEVER
    gains[prices > left] = _NEVER
    order = np.argsort(-gains, kind="stable")
    order = order[: np.count_nonzero(gains > 0)]
    spent = np.cumsum(prices[order])
    return order[: max(1, int(np.searchsorted(spent, min(chunk, left), side="right")))]


def _settled(metric: np.ndarray, pull: np.ndarray, active: np.ndarray, weights: np.ndarray, sweeps: int) -> np.ndarray:
    """Sweeps of non-negative coordinate descent over the active rows' weights."""
    inner = metric[np.ix_(active, active)].astype(np.float64)
    weights = weights.copy()
    slope = pull[active] - inner @ weights
    for _ in range(sweeps):
        for row in range(len(active)):
            moved = max(0.0, weights[row] + slope[row] / inner[row, row])
            if moved != weights[row]:
                slope -= inner[row] * (moved - weights[row])
                weights[row] = moved
    return weights


def refine(rows: Rows, weights: np.ndarray, gram: np.ndarray, ridge: float, tick: Tick) -> np.ndarray:
    """Weights (m,) of histories (m, I) with less excess loss at a ridge: the best of five scales, then Adam on log w.

    O(I^3) a step, 60 steps; the best weights seen are returned.
    """
    full = torch.from_numpy(gram) + ridge * torch.eye(len(gram), dtype=torch.float64)
    best_full = _item_weights(full)
    dense = torch.from_numpy(rows.toarray().astype(np.float64))

    def excess(log_weights: torch.Tensor) -> torch.Tensor:
        own = dense.T @ (dense * log_weights.exp()[:, None])
        apart = _item_weights(own + ridge * torch.eye(len(gram), dtype=torch.float64)) - best_full
        return (apart * (full @ apart)).sum()

    start = torch.from_numpy(np.log(weights.astype(np.float64)))
    with torch.no_grad():
        tried = [(float(excess(start + np.log(scale))), scale) for scale in _SCALES]
    least, scale = min(tried)
    log_weights = start + np.log(scale)
    best, first, second = log_weights, torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, _STEPS + 1):
        leaf = log_weights.requires_grad_(True)
        loss = excess(leaf)
        (slope,) = torch.autograd.grad(loss, leaf)
        if float(loss.detach()) < least:
            least, best = float(loss.detach()), leaf.detach()
        first = first.lerp(slope, 0.1)  # Adam (arXiv:1412.6980, algorithm 1)
        second = second.lerp(slope * slope, 0.001)
        root = (second / (1 - 0.999**step)).sqrt() + 1e-8
        log_weights = leaf.detach() - _RATE / (1 - 0.9**step) * first / root
        tick()
    return best.detach().exp().numpy()


def _item_weights(gram: torch.Tensor) -> torch.Tensor:
    """EASE's B (I, I) of a Gram matrix with its ridge, its diagonal 0."""
    inverse = torch.linalg.inv(gram)
    return torch.eye(len(gram), dtype=gram.dtype) - inverse / torch.diagonal(inverse)
